// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include "graph.hpp"

#include <algorithm>
#include <utility>

namespace sheet {

Sheet::Sheet(const std::vector<Row>& rows) {
    for (std::size_t row = 0; row < rows.size(); row++) {
        for (std::size_t column = 0; column < rows[row].size(); column++) {
            set(Cell{static_cast<int>(row), static_cast<int>(column)}, rows[row][column]);
        }
    }
    recalculate();
}

void Sheet::put(const Cell& cell, Content content) { cells_[cell] = std::move(content); }

void Sheet::set(const Cell& cell, const std::string& text) {
    if (cell.row < 0 || cell.column < 0 || cell.row >= kMaxRows || cell.column >= kMaxColumns) {
        throw std::out_of_range("a cell off the sheet");
    }
    Content content;
    if (text.empty()) {
        cells_.erase(cell);
        return;
    }
    if (text.front() == '=' && text.size() > 1) {
        try {
            content.formula = parse_formula(std::string_view(text).substr(1));
        } catch (const FormulaError& error) {
            content.error = error;
            content.bad_source = text;
        }
    } else if (const auto number = parse_number(text)) {
        content.value = *number;
    } else if (text == "TRUE" || text == "FALSE") {
        content.value = text == "TRUE";
    } else {
        content.value = text.front() == '\'' ? text.substr(1) : text;
    }
    put(cell, std::move(content));
}

void Sheet::copy(const Cell& from, const Area& to) {
    const auto found = cells_.find(from);
    for (int row = to.first.row; row <= to.last.row; row++) {
        for (int column = to.first.column; column <= to.last.column; column++) {
            const Cell target{row, column};
            if (target == from) {
                continue;
            }
            if (found == cells_.end()) {
                cells_.erase(target);
                continue;
            }
            Content content;
            content.value = found->second.value;
            content.error = found->second.error;
            content.bad_source = found->second.bad_source;
            if (found->second.formula) {
                content.formula = found->second.formula->moved(row - from.row, column - from.column);
            }
            put(target, std::move(content));
        }
    }
}

std::vector<Cell> Sheet::needs(const Content& content) const {
    std::vector<Cell> result;
    content.formula->visit_areas([&](const Area& area) {
        for (int row = area.first.row; row <= area.last.row; row++) {
            auto at = cells_.lower_bound(Cell{row, area.first.column});
            if (at == cells_.end()) {
                break;
            }
            for (; at != cells_.end() && at->first.row == row && at->first.column <= area.last.column; ++at) {
                result.push_back(at->first);
            }
        }
    });
    return result;
}

void Sheet::evaluate(Content& content) const {
    content.error.reset();
    content.value = std::monostate();
    try {
        content.value = content.formula->evaluate(*this);
        if (is_empty(content.value)) {
            content.value = 0.0;
        }
    } catch (const FormulaError& error) {
        content.error = error;
    }
}

void Sheet::recalculate() {
    DependencyGraph graph;
    for (const auto& [cell, content] : cells_) {
        if (content.formula) {
            graph.add(cell, needs(content));
        }
    }
    auto [order, cyclic] = graph.order();
    for (const Cell& cell : cyclic) {
        Content& content = cells_.at(cell);
        content.value = std::monostate();
        content.error = FormulaError(ErrorCode::kCycle, "the formula needs its own value");
    }
    for (const Cell& cell : order) {
        if (cyclic.count(cell) == 0) {
            evaluate(cells_.at(cell));
        }
    }
    order_ = std::move(order);
}

void Sheet::sort_rows(const Area& area, int column, bool descending) {
    struct SortedRow {
        Value key;
        int row;  // where it was: rows with equal keys keep their order
        std::vector<Content> contents;
    };
    std::vector<SortedRow> rows;
    for (int row = area.first.row; row <= area.last.row; row++) {
        SortedRow sorted{{}, row, {}};
        for (int c = area.first.column; c <= area.last.column; c++) {
            Content content;
            content.value = value_at(Cell{row, c});
            if (c == column) {
                sorted.key = content.value;
            }
            sorted.contents.push_back(std::move(content));
        }
        rows.push_back(std::move(sorted));
    }
    std::sort(rows.begin(), rows.end(), [&](const SortedRow& a, const SortedRow& b) {
        const int order = compare(a.key, b.key);
        return order == 0 ? a.row < b.row : descending ? order > 0 : order < 0;
    });
    int row = area.first.row;
    for (SortedRow& sorted : rows) {
        int c = area.first.column;
        for (Content& content : sorted.contents) {
            put(Cell{row, c++}, std::move(content));
        }
        row++;
    }
    recalculate();
}

Value Sheet::value_at(const Cell& cell) const {
    const auto found = cells_.find(cell);
    if (found == cells_.end()) {
        return {};
    }
    if (found->second.error) {
        throw *found->second.error;
    }
    return found->second.value;
}

Cell Sheet::extent() const {
    Cell result;
    for (const auto& entry : cells_) {
        result.row = std::max(result.row, entry.first.row + 1);
        result.column = std::max(result.column, entry.first.column + 1);
    }
    return result;
}

std::string Sheet::shown(const Cell& cell) const {
    const auto found = cells_.find(cell);
    if (found == cells_.end()) {
        return "";
    }
    return found->second.error ? error_text(found->second.error->code()) : to_text(found->second.value);
}

std::string Sheet::source(const Cell& cell) const {
    const auto found = cells_.find(cell);
    if (found == cells_.end()) {
        return "";
    }
    if (!found->second.bad_source.empty()) {
        return found->second.bad_source;
    }
    return found->second.formula ? "=" + found->second.formula->text() : to_text(found->second.value);
}

std::string Sheet::problem(const Cell& cell) const {
    const auto found = cells_.find(cell);
    return found != cells_.end() && found->second.error ? found->second.error->what() : "";
}

std::vector<Row> Sheet::rows(bool formulas) const {
    const Cell size = extent();
    std::vector<Row> result(static_cast<std::size_t>(size.row));
    for (int row = 0; row < size.row; row++) {
        for (int column = 0; column < size.column; column++) {
            const Cell cell{row, column};
            result[static_cast<std::size_t>(row)].push_back(formulas ? source(cell) : shown(cell));
        }
    }
    return result;
}

}  // namespace sheet
