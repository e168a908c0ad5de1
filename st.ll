; Lifted from st.o: for each function its verdict.
; f: refuted: it returns 0x29 instead of 0x0
; g: tests_passed

target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"

; Function Attrs: uwtable
define i32 @g(ptr %a0, ptr %a1, i32 %a2) #0 {
entry:
  br label %b0

b0:                                               ; preds = %entry
  store i64 0, ptr %a0, align 1
  %t4 = getelementptr i8, ptr %a0, i64 8
  %t6 = getelementptr i8, ptr %a0, i64 320
  store i64 0, ptr %t6, align 1
  %t8 = ptrtoint ptr %t4 to i64
  %t9 = and i64 %t8, -8
  %t10 = inttoptr i64 %t9 to ptr
  %t13 = ptrtoint ptr %a0 to i64
  %t15 = sub i64 %t13, %t9
  %t20 = add i64 %t15, 328
  %t23 = and i64 %t20, 4294967288
  call void @llvm.memset.p0.i64(ptr %t10, i8 0, i64 %t23, i1 false)
  %t27 = icmp eq i32 %a2, 0
  br i1 %t27, label %b1, label %b3

b1:                                               ; preds = %b0
  ret i32 0

b3:                                               ; preds = %b0
  %t30 = getelementptr i8, ptr %a1, i64 8
  store i64 0, ptr %a1, align 1
  %t33 = getelementptr i8, ptr %a1, i64 320
  store i64 0, ptr %t33, align 1
  %t35 = ptrtoint ptr %t30 to i64
  %t36 = and i64 %t35, -8
  %t37 = inttoptr i64 %t36 to ptr
  %t40 = ptrtoint ptr %a1 to i64
  %t42 = sub i64 %t40, %t36
  %t47 = add i64 %t42, 328
  %t50 = and i64 %t47, 4294967288
  call void @llvm.memset.p0.i64(ptr %t37, i8 0, i64 %t50, i1 false)
  ret i32 0
}

; Function Attrs: nocallback nofree nounwind willreturn memory(argmem: write)
declare void @llvm.memset.p0.i64(ptr nocapture writeonly, i8, i64, i1 immarg) #1

; f.refuted: it returns 0x29 instead of 0x0
; Function Attrs: minsize nounwind optsize uwtable
define internal i32 @f.refuted(ptr %0, i32 %1) #2 {
  %3 = alloca [16 x i8], align 16
  %4 = icmp sgt i32 %1, 0
  br i1 %4, label %5, label %7

5:                                                ; preds = %2
  %6 = getelementptr i8, ptr %0, i64 320
  tail call void @use(ptr %6)
  br label %7

7:                                                ; preds = %5, %2
  %8 = phi i32 [ %1, %5 ], [ %1, %2 ]
  %9 = add i32 %8, 1
  %10 = getelementptr i8, ptr %0, i64 328
  call void @llvm.memcpy.p0.p0.i64(ptr %3, ptr %10, i64 16, i1 false)
  %11 = icmp eq i32 %8, %9
  br i1 %11, label %12, label %13

12:                                               ; preds = %7
  br label %13

13:                                               ; preds = %12, %7
  %14 = phi i32 [ 41, %12 ], [ 41, %7 ]
  %15 = phi i32 [ 0, %12 ], [ %8, %7 ]
  store i32 %14, ptr %3, align 4
  %16 = icmp sgt i32 %15, %1
  br i1 %16, label %17, label %23

17:                                               ; preds = %13
  %18 = sext i32 %15 to i64
  %19 = getelementptr i8, ptr %0, i64 %18
  %20 = add i32 %15, 1
  %21 = sext i32 %20 to i64
  %22 = getelementptr i8, ptr %0, i64 24
  store i64 %21, ptr %22, align 8
  call void @use(ptr %3)
  br label %23

23:                                               ; preds = %17, %13
  %24 = phi i32 [ %15, %13 ], [ %15, %17 ]
  %25 = phi i32 [ %14, %17 ], [ %15, %13 ]
  %26 = icmp sgt i32 %24, %1
  br i1 %26, label %27, label %28

27:                                               ; preds = %23
  br label %28

28:                                               ; preds = %27, %23
  %29 = phi i32 [ 41, %27 ], [ 41, %23 ]
  ret i32 %29
}

declare dso_local void @use(ptr)

; Function Attrs: nocallback nofree nounwind willreturn memory(argmem: readwrite)
declare void @llvm.memcpy.p0.p0.i64(ptr noalias nocapture writeonly, ptr noalias nocapture readonly, i64, i1 immarg) #3

attributes #0 = { uwtable "target-cpu"="x86-64" }
attributes #1 = { nocallback nofree nounwind willreturn memory(argmem: write) }
attributes #2 = { minsize nounwind optsize uwtable "llm-compiler-verdict"="refuted" "target-cpu"="x86-64" }
attributes #3 = { nocallback nofree nounwind willreturn memory(argmem: readwrite) }

!llvm.module.flags = !{!0, !1, !2}

!0 = !{i32 8, !"PIC Level", i32 2}
!1 = !{i32 7, !"PIE Level", i32 2}
!2 = !{i32 7, !"uwtable", i32 2}
