// SPDX-License-Identifier: Apache-2.0
// Formulas as trees: parsed, printed, moved and evaluated.
#pragma once

#include "cell.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sheet {

// Where a formula finds the values of other cells.
class CellSource {
public:
    virtual ~CellSource() = default;
    virtual Value value_at(const Cell& cell) const = 0;  // throws the cell's error
    virtual Cell extent() const = 0;                     // one behind the last row and column
};

// A cell as a formula names it: `$` keeps the row or the column where the formula is copied.
struct Reference {
    Cell cell;
    bool fixed_row = false;
    bool fixed_column = false;

    std::string text() const;
    Reference moved(int rows, int columns) const;  // off the sheet: a row or column below 0
    const Cell& checked() const;                   // throws FormulaError (kReference)
};

struct Area {
    Cell first;
    Cell last;  // included

    int rows() const { return last.row - first.row + 1; }
    int columns() const { return last.column - first.column + 1; }
    bool contains(const Cell& cell) const;
};

class Node {
public:
    virtual ~Node() = default;
    virtual Value evaluate(const CellSource& source) const = 0;
    virtual std::string text() const = 0;
    virtual std::unique_ptr<Node> moved(int rows, int columns) const = 0;
    virtual void visit_areas(const std::function<void(const Area&)>& visit) const;
    virtual std::optional<Area> area() const { return std::nullopt; }
    virtual int precedence() const { return 100; }
};

using NodePtr = std::unique_ptr<Node>;

// `formula` without its "="; throws FormulaError (kSyntax, kName).
NodePtr parse_formula(std::string_view formula);

// functions.cpp ----------------------------------------------------------------------------------

// The arguments of a call, evaluated when they are asked for.
class Arguments {
public:
    Arguments(const std::vector<NodePtr>& nodes, const CellSource& source)
        : nodes_(nodes), source_(source) {}

    std::size_t size() const { return nodes_.size(); }
    Value value(std::size_t i) const { return nodes_.at(i)->evaluate(source_); }
    double number(std::size_t i) const { return to_number(value(i)); }
    int integer(std::size_t i) const;
    std::string text(std::size_t i) const { return to_text(value(i)); }
    Area area(std::size_t i) const;
    const CellSource& source() const { return source_; }

    // Each cell of the ranges and each other argument; `direct` for the latter.
    void each(std::size_t from, const std::function<void(const Value&, bool direct)>& visit) const;

private:
    const std::vector<NodePtr>& nodes_;
    const CellSource& source_;
};

struct Function {
    const char* name;
    std::size_t min_arguments;
    std::size_t max_arguments;
    Value (*call)(const Arguments& arguments);
};

const Function* find_function(std::string_view name);

}  // namespace sheet
