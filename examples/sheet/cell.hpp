// SPDX-License-Identifier: Apache-2.0
// Cells: where they are, what they hold, and the errors of formulas.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace sheet {

struct Cell {
    int row = 0;     // from 0
    int column = 0;  // from 0

    friend bool operator==(const Cell& a, const Cell& b) {
        return a.row == b.row && a.column == b.column;
    }
    friend bool operator<(const Cell& a, const Cell& b) {
        return a.row != b.row ? a.row < b.row : a.column < b.column;
    }
};

inline constexpr int kMaxRows = 1'000'000;
inline constexpr int kMaxColumns = 26 + 26 * 26 + 26 * 26 * 26;

std::string column_name(int column);
std::string cell_name(const Cell& cell);
std::optional<Cell> parse_cell(std::string_view text);  // "B12"; nothing else around it

// What a cell or an expression is worth; monostate is an empty cell.
using Value = std::variant<std::monostate, double, bool, std::string>;

enum class ErrorCode { kDivision, kValue, kReference, kName, kNumber, kMissing, kCycle, kSyntax };

const char* error_text(ErrorCode code);

// Thrown while a formula is parsed or evaluated; the cell then shows the error.
class FormulaError : public std::runtime_error {
public:
    FormulaError(ErrorCode code, const std::string& detail);
    ErrorCode code() const { return code_; }

private:
    ErrorCode code_;
};

bool is_empty(const Value& value);
std::optional<double> parse_number(std::string_view text);
std::string format_number(double number);
std::string to_text(const Value& value);
double to_number(const Value& value);  // throws FormulaError (kValue)
bool to_boolean(const Value& value);   // throws FormulaError (kValue)
int compare(const Value& a, const Value& b);  // numbers < texts < booleans
std::string upper(std::string_view text);

}  // namespace sheet
