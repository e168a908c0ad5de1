// SPDX-License-Identifier: Apache-2.0
#include "cell.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace sheet {

std::string column_name(int column) {
    std::string name;
    for (int rest = column + 1; rest > 0; rest = (rest - 1) / 26) {
        name.insert(name.begin(), static_cast<char>('A' + (rest - 1) % 26));
    }
    return name;
}

std::string cell_name(const Cell& cell) {
    return column_name(cell.column) + std::to_string(cell.row + 1);
}

std::optional<Cell> parse_cell(std::string_view text) {
    std::size_t at = 0;
    int column = 0;
    while (at < text.size() && at < 3 && std::isalpha(static_cast<unsigned char>(text[at]))) {
        column = column * 26 + (std::toupper(static_cast<unsigned char>(text[at])) - 'A' + 1);
        at++;
    }
    const std::size_t digits = at;
    int row = 0;
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]))) {
        row = row * 10 + (text[at] - '0');
        if (row > kMaxRows) {
            return std::nullopt;
        }
        at++;
    }
    if (digits == 0 || at == digits || at != text.size() || row == 0) {
        return std::nullopt;
    }
    return Cell{row - 1, column - 1};
}

const char* error_text(ErrorCode code) {
    switch (code) {
    case ErrorCode::kDivision:
        return "#DIV/0!";
    case ErrorCode::kValue:
        return "#VALUE!";
    case ErrorCode::kReference:
        return "#REF!";
    case ErrorCode::kName:
        return "#NAME?";
    case ErrorCode::kNumber:
        return "#NUM!";
    case ErrorCode::kMissing:
        return "#N/A";
    case ErrorCode::kCycle:
        return "#CYCLE!";
    case ErrorCode::kSyntax:
        return "#SYNTAX!";
    }
    return "#ERROR!";
}

FormulaError::FormulaError(ErrorCode code, const std::string& detail)
    : std::runtime_error(detail), code_(code) {}

bool is_empty(const Value& value) { return std::holds_alternative<std::monostate>(value); }

std::optional<double> parse_number(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) {
        return std::nullopt;
    }
    const std::string copy(text);
    char* end = nullptr;
    const double number = std::strtod(copy.c_str(), &end);
    if (end == copy.c_str() || *end != '\0' || !std::isfinite(number)) {
        return std::nullopt;
    }
    return number;
}

std::string format_number(double number) {
    char text[40];
    std::snprintf(text, sizeof text, "%.15g", number == 0 ? 0.0 : number);
    return text;
}

std::string to_text(const Value& value) {
    struct Visitor {
        std::string operator()(std::monostate) const { return ""; }
        std::string operator()(double number) const { return format_number(number); }
        std::string operator()(bool truth) const { return truth ? "TRUE" : "FALSE"; }
        std::string operator()(const std::string& text) const { return text; }
    };
    return std::visit(Visitor{}, value);
}

double to_number(const Value& value) {
    struct Visitor {
        double operator()(std::monostate) const { return 0; }
        double operator()(double number) const { return number; }
        double operator()(bool truth) const { return truth ? 1 : 0; }
        double operator()(const std::string& text) const {
            if (const auto number = parse_number(text)) {
                return *number;
            }
            throw FormulaError(ErrorCode::kValue, "\"" + text + "\" is not a number");
        }
    };
    return std::visit(Visitor{}, value);
}

bool to_boolean(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        const std::string name = upper(*text);
        if (name == "TRUE" || name == "FALSE") {
            return name == "TRUE";
        }
        throw FormulaError(ErrorCode::kValue, "\"" + *text + "\" is not a truth value");
    }
    return to_number(value) != 0;
}

int compare(const Value& a, const Value& b) {
    const auto rank = [](const Value& value) {
        return std::holds_alternative<std::string>(value) ? 1 : std::holds_alternative<bool>(value) ? 2 : 0;
    };
    if (is_empty(a) && !is_empty(b) && rank(b) == 1) {
        return std::get<std::string>(b).empty() ? 0 : -1;
    }
    if (is_empty(b) && !is_empty(a) && rank(a) == 1) {
        return -compare(b, a);
    }
    if (rank(a) != rank(b)) {
        return rank(a) < rank(b) ? -1 : 1;
    }
    if (rank(a) == 1) {
        const int order = upper(std::get<std::string>(a)).compare(upper(std::get<std::string>(b)));
        return (order > 0) - (order < 0);
    }
    const double x = to_number(a);
    const double y = to_number(b);
    return (x > y) - (x < y);
}

std::string upper(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return result;
}

}  // namespace sheet
