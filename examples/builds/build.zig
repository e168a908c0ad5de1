// zig build: what is in C is compiled by llm-cc, and linked by Zig.
const std = @import("std");

pub fn build(b: *std.Build) void {
    const prog = b.addExecutable(.{
        .name = "prog",
        .root_module = b.createModule(.{
            .root_source_file = b.path("main.zig"),
            .target = b.standardTargetOptions(.{}),
            .optimize = .ReleaseSmall,
            .link_libc = true,
        }),
    });
    for ([_][]const u8{"lib.c"}) |source| {
        const compile = b.addSystemCommand(&.{ "llm-cc", "-Oz", "-c" });
        compile.addFileArg(b.path(source));
        compile.addArg("-o");
        prog.root_module.addObjectFile(compile.addOutputFileArg("object.o"));
    }
    b.installArtifact(prog);
}
