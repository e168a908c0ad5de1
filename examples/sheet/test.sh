#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the program that it is given on test.csv; `make check` compares what it prints.
sheet=$1
echo "== table, errors, order"
$sheet test.csv table errors order
echo "== formulas"
$sheet test.csv formulas
echo "== formulas, read again"
$sheet test.csv formulas | $sheet - csv
echo "== changes"
$sheet test.csv set C7 10 set B2 text set B2 0.5 get D8 set D14 5 set A20 '=SUM(A11:B12)' set A20 '=A20'
echo "== fill"
$sheet test.csv set G2 '=$B2*C$2+B2' fill G2 G3:H5 fill G2 A1 formulas errors
echo "== sort"
$sheet test.csv sort A2:C7 B desc table sort A2:C7 A asc get A2 get A7 get D2
echo "== eval"
for formula in 'SUM(A1:ZZ9999)' 'SUM(B2:C7)*2' 'A2:A3' '1e308*10' '"a""b"&1=1' '((1)' 'IF(1)' '1,2' '$B$2 + b$3' \
    'PRODUCT(C2:C7)' '"x' '1..2' 'IF("maybe",1,2)' 'COUNTIF(A1:F18,"<>big")' 'B2=""' 'ISNUMBER(B2)' '#'; do
    printf '%s: ' "$formula"
    $sheet test.csv eval "$formula"
done
echo "== a chain of 5000 cells"
awk 'BEGIN { print "1"; for (i = 2; i <= 5000; i++) print "=A" i - 1 "+1" }' | $sheet - get A5000 set A1 11 2>&1 | tail -n 2
echo "== usage and exit codes"
$sheet test.csv get 5 > /dev/null 2>&1
echo "exit code $?"
$sheet missing.csv 2>&1
echo "exit code $?"
printf '"open\n' | $sheet - 2>&1
echo "exit code $?"
