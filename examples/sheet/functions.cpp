// SPDX-License-Identifier: Apache-2.0
// The functions that formulas can call.
#include "formula.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace sheet {

int Arguments::integer(std::size_t i) const {
    const double number = std::floor(this->number(i));
    if (!(std::fabs(number) < 1e9)) {
        throw FormulaError(ErrorCode::kNumber, "a number that is too large");
    }
    return static_cast<int>(number);
}

Area Arguments::area(std::size_t i) const {
    const auto area = nodes_.at(i)->area();
    if (!area) {
        throw FormulaError(ErrorCode::kValue, "expected a range");
    }
    return *area;
}

void Arguments::each(std::size_t from, const std::function<void(const Value&, bool)>& visit) const {
    const Cell extent = source_.extent();
    for (std::size_t i = from; i < nodes_.size(); i++) {
        const auto area = nodes_[i]->area();
        if (!area) {
            visit(value(i), true);
            continue;
        }
        for (int row = area->first.row; row <= std::min(area->last.row, extent.row - 1); row++) {
            for (int column = area->first.column; column <= std::min(area->last.column, extent.column - 1);
                 column++) {
                visit(source_.value_at(Cell{row, column}), false);
            }
        }
    }
}

namespace {

constexpr std::size_t kMany = std::numeric_limits<std::size_t>::max();

// As in other spreadsheets, texts and truth values count where they are given, not in ranges.
std::vector<double> numbers(const Arguments& arguments, std::size_t from = 0) {
    std::vector<double> result;
    arguments.each(from, [&](const Value& value, bool direct) {
        if (const double* number = std::get_if<double>(&value)) {
            result.push_back(*number);
        } else if (direct) {
            result.push_back(to_number(value));
        }
    });
    return result;
}

std::vector<double> some_numbers(const Arguments& arguments) {
    std::vector<double> result = numbers(arguments);
    if (result.empty()) {
        throw FormulaError(ErrorCode::kDivision, "no numbers");
    }
    return result;
}

double total(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

Value sum(const Arguments& arguments) { return total(numbers(arguments)); }

Value average(const Arguments& arguments) {
    const auto values = some_numbers(arguments);
    return total(values) / static_cast<double>(values.size());
}

Value minimum(const Arguments& arguments) {
    const auto values = numbers(arguments);
    return values.empty() ? 0.0 : *std::min_element(values.begin(), values.end());
}

Value maximum(const Arguments& arguments) {
    const auto values = numbers(arguments);
    return values.empty() ? 0.0 : *std::max_element(values.begin(), values.end());
}

Value median(const Arguments& arguments) {
    auto values = some_numbers(arguments);
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Value deviation(const Arguments& arguments) {
    const auto values = some_numbers(arguments);
    if (values.size() < 2) {
        throw FormulaError(ErrorCode::kDivision, "fewer than two numbers");
    }
    const double mean = total(values) / static_cast<double>(values.size());
    const double squares = std::accumulate(
        values.begin(), values.end(), 0.0,
        [&](double so_far, double value) { return so_far + (value - mean) * (value - mean); });
    return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

Value count(const Arguments& arguments) { return static_cast<double>(numbers(arguments).size()); }

Value count_filled(const Arguments& arguments) {
    double result = 0;
    arguments.each(0, [&](const Value& value, bool) { result += is_empty(value) ? 0 : 1; });
    return result;
}

Value product(const Arguments& arguments) {
    const auto values = numbers(arguments);
    return std::accumulate(values.begin(), values.end(), 1.0, std::multiplies<>());
}

// A condition such as ">=10", "<>done" or 7.
class Criterion {
public:
    explicit Criterion(const Value& value) : wanted_(value) {
        const auto* text = std::get_if<std::string>(&value);
        if (!text) {
            return;
        }
        for (const char* prefix : {"<=", ">=", "<>", "<", ">", "="}) {
            if (text->rfind(prefix, 0) == 0) {
                comparison_ = prefix;
                break;
            }
        }
        const std::string rest = text->substr(comparison_.size());
        const auto number = parse_number(rest);
        wanted_ = number ? Value(*number) : Value(rest);
    }

    bool accepts(const Value& value) const {
        const bool same_kind = value.index() == wanted_.index();
        if (comparison_ == "<>") {
            return !same_kind || compare(value, wanted_) != 0;
        }
        if (!same_kind) {
            return false;
        }
        const int order = compare(value, wanted_);
        if (comparison_ == "<=") {
            return order <= 0;
        }
        if (comparison_ == ">=") {
            return order >= 0;
        }
        return comparison_ == "<" ? order < 0 : comparison_ == ">" ? order > 0 : order == 0;
    }

private:
    std::string comparison_;
    Value wanted_;
};

Value sum_if(const Arguments& arguments) {
    const Area tested = arguments.area(0);
    const Area summed = arguments.size() == 3 ? arguments.area(2) : tested;
    const Criterion criterion(arguments.value(1));
    const Cell extent = arguments.source().extent();
    double result = 0;
    for (int row = 0; row < std::min(tested.rows(), extent.row - tested.first.row); row++) {
        for (int column = 0; column < std::min(tested.columns(), extent.column - tested.first.column);
             column++) {
            const Cell cell{tested.first.row + row, tested.first.column + column};
            if (criterion.accepts(arguments.source().value_at(cell))) {
                const Value value = arguments.source().value_at(
                    Cell{summed.first.row + row, summed.first.column + column});
                result += std::holds_alternative<double>(value) ? std::get<double>(value) : 0;
            }
        }
    }
    return result;
}

Value count_if(const Arguments& arguments) {
    const Criterion criterion(arguments.value(1));
    const Area area = arguments.area(0);
    const Cell extent = arguments.source().extent();
    double result = 0;
    for (int row = area.first.row; row <= std::min(area.last.row, extent.row - 1); row++) {
        for (int column = area.first.column; column <= std::min(area.last.column, extent.column - 1);
             column++) {
            result += criterion.accepts(arguments.source().value_at(Cell{row, column})) ? 1 : 0;
        }
    }
    return result;
}

Value if_else(const Arguments& arguments) {
    if (to_boolean(arguments.value(0))) {
        return arguments.value(1);
    }
    return arguments.size() == 3 ? arguments.value(2) : Value(false);
}

Value if_error(const Arguments& arguments) {
    try {
        return arguments.value(0);
    } catch (const FormulaError&) {
        return arguments.value(1);
    }
}

Value is_error(const Arguments& arguments) {
    try {
        arguments.value(0);
        return false;
    } catch (const FormulaError&) {
        return true;
    }
}

Value all_of(const Arguments& arguments) {
    bool result = true;
    arguments.each(0, [&](const Value& value, bool) { result = result && (is_empty(value) || to_boolean(value)); });
    return result;
}

Value any_of(const Arguments& arguments) {
    bool result = false;
    arguments.each(0, [&](const Value& value, bool) { result = result || (!is_empty(value) && to_boolean(value)); });
    return result;
}

Value round_to(const Arguments& arguments) {
    const double scale = std::pow(10.0, arguments.size() == 2 ? arguments.integer(1) : 0);
    const double scaled = arguments.number(0) * scale;
    if (!std::isfinite(scaled) || scale == 0) {
        throw FormulaError(ErrorCode::kNumber, "too many digits to round to");
    }
    return std::round(scaled) / scale;
}

Value square_root(const Arguments& arguments) {
    const double number = arguments.number(0);
    if (number < 0) {
        throw FormulaError(ErrorCode::kNumber, "the square root of a negative number");
    }
    return std::sqrt(number);
}

Value modulo(const Arguments& arguments) {
    const double divisor = arguments.number(1);
    if (divisor == 0) {
        throw FormulaError(ErrorCode::kDivision, "a division by zero");
    }
    return arguments.number(0) - divisor * std::floor(arguments.number(0) / divisor);
}

Value concatenate(const Arguments& arguments) {
    std::string result;
    arguments.each(0, [&](const Value& value, bool) { result += to_text(value); });
    return result;
}

Value join(const Arguments& arguments) {
    const std::string separator = arguments.text(0);
    std::string result;
    bool first = true;
    arguments.each(1, [&](const Value& value, bool) {
        if (!is_empty(value)) {
            result += (first ? "" : separator) + to_text(value);
            first = false;
        }
    });
    return result;
}

std::size_t length_argument(const Arguments& arguments, std::size_t i) {
    const int length = i < arguments.size() ? arguments.integer(i) : 1;
    if (length < 0) {
        throw FormulaError(ErrorCode::kValue, "a negative length");
    }
    return static_cast<std::size_t>(length);
}

Value left(const Arguments& arguments) {
    return arguments.text(0).substr(0, length_argument(arguments, 1));
}

Value right(const Arguments& arguments) {
    const std::string text = arguments.text(0);
    return text.substr(text.size() - std::min(text.size(), length_argument(arguments, 1)));
}

Value middle(const Arguments& arguments) {
    const std::string text = arguments.text(0);
    const std::size_t start = length_argument(arguments, 1);
    if (start == 0) {
        throw FormulaError(ErrorCode::kValue, "a start before the first character");
    }
    return start > text.size() ? std::string() : text.substr(start - 1, length_argument(arguments, 2));
}

Value find(const Arguments& arguments) {
    const auto found = arguments.text(1).find(arguments.text(0));
    if (found == std::string::npos) {
        throw FormulaError(ErrorCode::kValue, "a text that is not found");
    }
    return static_cast<double>(found + 1);
}

Value lowercase(const Arguments& arguments) {
    std::string text = arguments.text(0);
    for (char& c : text) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return text;
}

Value trimmed(const Arguments& arguments) {
    std::string result;
    for (const char c : arguments.text(0)) {
        if (c != ' ' || (!result.empty() && result.back() != ' ')) {
            result.push_back(c);
        }
    }
    if (!result.empty() && result.back() == ' ') {
        result.pop_back();
    }
    return result;
}

Value lookup(const Arguments& arguments) {
    const Value wanted = arguments.value(0);
    const Area area = arguments.area(1);
    const int column = arguments.integer(2);
    if (column < 1 || column > area.columns()) {
        throw FormulaError(ErrorCode::kReference, "a column off the table");
    }
    for (int row = area.first.row; row <= std::min(area.last.row, arguments.source().extent().row - 1); row++) {
        const Value key = arguments.source().value_at(Cell{row, area.first.column});
        if (!is_empty(key) && compare(key, wanted) == 0) {
            return arguments.source().value_at(Cell{row, area.first.column + column - 1});
        }
    }
    throw FormulaError(ErrorCode::kMissing, "nothing found for " + to_text(wanted));
}

Value match(const Arguments& arguments) {
    const Value wanted = arguments.value(0);
    const Area area = arguments.area(1);
    const Cell extent = arguments.source().extent();
    double position = 0;
    for (int row = area.first.row; row <= std::min(area.last.row, extent.row - 1); row++) {
        for (int column = area.first.column; column <= std::min(area.last.column, extent.column - 1);
             column++) {
            position++;
            const Value value = arguments.source().value_at(Cell{row, column});
            if (!is_empty(value) && compare(value, wanted) == 0) {
                return position;
            }
        }
    }
    throw FormulaError(ErrorCode::kMissing, "nothing found for " + to_text(wanted));
}

Value index(const Arguments& arguments) {
    const Area area = arguments.area(0);
    int row = arguments.integer(1);
    int column = arguments.size() == 3 ? arguments.integer(2) : 1;
    if (arguments.size() == 2 && area.rows() == 1) {
        std::swap(row, column);
    }
    if (row < 1 || row > area.rows() || column < 1 || column > area.columns()) {
        throw FormulaError(ErrorCode::kReference, "a position off the range");
    }
    return arguments.source().value_at(Cell{area.first.row + row - 1, area.first.column + column - 1});
}

const Function kFunctions[] = {
    {"ABS", 1, 1, [](const Arguments& a) -> Value { return std::fabs(a.number(0)); }},
    {"AND", 1, kMany, all_of},
    {"AVERAGE", 1, kMany, average},
    {"CONCAT", 1, kMany, concatenate},
    {"COUNT", 1, kMany, count},
    {"COUNTA", 1, kMany, count_filled},
    {"COUNTIF", 2, 2, count_if},
    {"FIND", 2, 2, find},
    {"IF", 2, 3, if_else},
    {"IFERROR", 2, 2, if_error},
    {"INDEX", 2, 3, index},
    {"INT", 1, 1, [](const Arguments& a) -> Value { return std::floor(a.number(0)); }},
    {"ISERROR", 1, 1, is_error},
    {"ISNUMBER", 1, 1, [](const Arguments& a) -> Value { return std::holds_alternative<double>(a.value(0)); }},
    {"LEFT", 1, 2, left},
    {"LEN", 1, 1, [](const Arguments& a) -> Value { return static_cast<double>(a.text(0).size()); }},
    {"LOWER", 1, 1, lowercase},
    {"MATCH", 2, 2, match},
    {"MAX", 1, kMany, maximum},
    {"MEDIAN", 1, kMany, median},
    {"MID", 3, 3, middle},
    {"MIN", 1, kMany, minimum},
    {"MOD", 2, 2, modulo},
    {"NOT", 1, 1, [](const Arguments& a) -> Value { return !to_boolean(a.value(0)); }},
    {"OR", 1, kMany, any_of},
    {"PRODUCT", 1, kMany, product},
    {"RIGHT", 1, 2, right},
    {"ROUND", 1, 2, round_to},
    {"SQRT", 1, 1, square_root},
    {"STDEV", 1, kMany, deviation},
    {"SUM", 1, kMany, sum},
    {"SUMIF", 2, 3, sum_if},
    {"TEXTJOIN", 2, kMany, join},
    {"TRIM", 1, 1, trimmed},
    {"UPPER", 1, 1, [](const Arguments& a) -> Value { return upper(a.text(0)); }},
    {"VLOOKUP", 3, 3, lookup},
};

}  // namespace

const Function* find_function(std::string_view name) {
    static const std::map<std::string_view, const Function*> by_name = [] {
        std::map<std::string_view, const Function*> result;
        for (const Function& function : kFunctions) {
            result.emplace(function.name, &function);
        }
        return result;
    }();
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
}

}  // namespace sheet
