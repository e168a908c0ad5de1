// SPDX-License-Identifier: Apache-2.0
// A sheet: cells, their formulas, and their values, which follow from each other.
#pragma once

#include "cell.hpp"
#include "csv.hpp"
#include "formula.hpp"

#include <map>
#include <string>
#include <vector>

namespace sheet {

class Sheet : public CellSource {
public:
    explicit Sheet(const std::vector<Row>& rows = {});

    void set(const Cell& cell, const std::string& text);  // "=..." is a formula
    void copy(const Cell& from, const Area& to);          // references move along
    void recalculate();
    void sort_rows(const Area& area, int column, bool descending);  // by value; formulas stay values

    Value value_at(const Cell& cell) const override;
    Cell extent() const override;

    std::string shown(const Cell& cell) const;   // the value or the error
    std::string source(const Cell& cell) const;  // the formula, or the value
    std::string problem(const Cell& cell) const; // what is wrong, or nothing
    const std::vector<Cell>& order() const { return order_; }
    std::vector<Row> rows(bool formulas) const;

private:
    struct Content {
        Value value;
        NodePtr formula;
        std::optional<FormulaError> error;
        std::string bad_source;  // of a formula that does not parse
    };

    void put(const Cell& cell, Content content);
    std::vector<Cell> needs(const Content& content) const;
    void evaluate(Content& content) const;

    std::map<Cell, Content> cells_;
    std::vector<Cell> order_;
};

}  // namespace sheet
