// SPDX-License-Identifier: Apache-2.0
#include "formula.hpp"

#include "token.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sheet {

std::string Reference::text() const {
    if (cell.row < 0 || cell.column < 0) {
        return error_text(ErrorCode::kReference);
    }
    return (fixed_column ? "$" : "") + column_name(cell.column) + (fixed_row ? "$" : "") +
           std::to_string(cell.row + 1);
}

Reference Reference::moved(int rows, int columns) const {
    Reference result = *this;
    result.cell.row += fixed_row ? 0 : rows;
    result.cell.column += fixed_column ? 0 : columns;
    return result;
}

const Cell& Reference::checked() const {
    if (cell.row < 0 || cell.column < 0 || cell.row >= kMaxRows || cell.column >= kMaxColumns) {
        throw FormulaError(ErrorCode::kReference, "a reference off the sheet");
    }
    return cell;
}

bool Area::contains(const Cell& cell) const {
    return cell.row >= first.row && cell.row <= last.row && cell.column >= first.column &&
           cell.column <= last.column;
}

void Node::visit_areas(const std::function<void(const Area&)>&) const {}

namespace {

std::string in_parentheses(const Node& node, int precedence) {
    return node.precedence() < precedence ? "(" + node.text() + ")" : node.text();
}

class NumberNode : public Node {
public:
    explicit NumberNode(double number) : number_(number) {}
    Value evaluate(const CellSource&) const override { return number_; }
    std::string text() const override { return format_number(number_); }
    NodePtr moved(int, int) const override { return std::make_unique<NumberNode>(number_); }

private:
    double number_;
};

class TextNode : public Node {
public:
    explicit TextNode(std::string value) : value_(std::move(value)) {}
    Value evaluate(const CellSource&) const override { return value_; }
    std::string text() const override {
        std::string quoted = "\"";
        for (const char c : value_) {
            quoted.append(c == '"' ? 2 : 1, c);
        }
        return quoted + "\"";
    }
    NodePtr moved(int, int) const override { return std::make_unique<TextNode>(value_); }

private:
    std::string value_;
};

class BooleanNode : public Node {
public:
    explicit BooleanNode(bool value) : value_(value) {}
    Value evaluate(const CellSource&) const override { return value_; }
    std::string text() const override { return value_ ? "TRUE" : "FALSE"; }
    NodePtr moved(int, int) const override { return std::make_unique<BooleanNode>(value_); }

private:
    bool value_;
};

class ReferenceNode : public Node {
public:
    explicit ReferenceNode(Reference reference) : reference_(reference) {}
    Value evaluate(const CellSource& source) const override {
        return source.value_at(reference_.checked());
    }
    std::string text() const override { return reference_.text(); }
    NodePtr moved(int rows, int columns) const override {
        return std::make_unique<ReferenceNode>(reference_.moved(rows, columns));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override {
        visit(Area{reference_.cell, reference_.cell});
    }
    std::optional<Area> area() const override {
        return Area{reference_.checked(), reference_.checked()};
    }

private:
    Reference reference_;
};

class RangeNode : public Node {
public:
    RangeNode(Reference from, Reference to) : from_(from), to_(to) {}
    Value evaluate(const CellSource& source) const override {
        const Area cells = corners();
        if (cells.rows() != 1 || cells.columns() != 1) {
            throw FormulaError(ErrorCode::kValue, "a range where one value is expected");
        }
        return source.value_at(cells.first);
    }
    std::string text() const override { return from_.text() + ":" + to_.text(); }
    NodePtr moved(int rows, int columns) const override {
        return std::make_unique<RangeNode>(from_.moved(rows, columns), to_.moved(rows, columns));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override { visit(corners()); }
    std::optional<Area> area() const override {
        from_.checked();
        to_.checked();
        return corners();
    }

private:
    Area corners() const {
        return Area{{std::min(from_.cell.row, to_.cell.row), std::min(from_.cell.column, to_.cell.column)},
                    {std::max(from_.cell.row, to_.cell.row), std::max(from_.cell.column, to_.cell.column)}};
    }

    Reference from_;
    Reference to_;
};

class NegationNode : public Node {
public:
    explicit NegationNode(NodePtr operand) : operand_(std::move(operand)) {}
    Value evaluate(const CellSource& source) const override {
        return -to_number(operand_->evaluate(source));
    }
    std::string text() const override { return "-" + in_parentheses(*operand_, precedence()); }
    NodePtr moved(int rows, int columns) const override {
        return std::make_unique<NegationNode>(operand_->moved(rows, columns));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override {
        operand_->visit_areas(visit);
    }
    int precedence() const override { return 60; }

private:
    NodePtr operand_;
};

class PercentNode : public Node {
public:
    explicit PercentNode(NodePtr operand) : operand_(std::move(operand)) {}
    Value evaluate(const CellSource& source) const override {
        return to_number(operand_->evaluate(source)) / 100;
    }
    std::string text() const override { return in_parentheses(*operand_, precedence()) + "%"; }
    NodePtr moved(int rows, int columns) const override {
        return std::make_unique<PercentNode>(operand_->moved(rows, columns));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override {
        operand_->visit_areas(visit);
    }
    int precedence() const override { return 70; }

private:
    NodePtr operand_;
};

double finite(double number) {
    if (!std::isfinite(number)) {
        throw FormulaError(ErrorCode::kNumber, "a result that is not a number");
    }
    return number;
}

struct Operator {
    const char* text;
    int precedence;
    Value (*apply)(const Value& a, const Value& b);
};

const Operator kOperators[] = {
    {"=", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) == 0; }},
    {"<>", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) != 0; }},
    {"<", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) < 0; }},
    {"<=", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) <= 0; }},
    {">", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) > 0; }},
    {">=", 10, [](const Value& a, const Value& b) -> Value { return compare(a, b) >= 0; }},
    {"&", 20, [](const Value& a, const Value& b) -> Value { return to_text(a) + to_text(b); }},
    {"+", 30, [](const Value& a, const Value& b) -> Value { return finite(to_number(a) + to_number(b)); }},
    {"-", 30, [](const Value& a, const Value& b) -> Value { return finite(to_number(a) - to_number(b)); }},
    {"*", 40, [](const Value& a, const Value& b) -> Value { return finite(to_number(a) * to_number(b)); }},
    {"/", 40,
     [](const Value& a, const Value& b) -> Value {
         const double dividend = to_number(a);
         const double divisor = to_number(b);
         if (divisor == 0) {
             throw FormulaError(ErrorCode::kDivision, "a division by zero");
         }
         return finite(dividend / divisor);
     }},
    {"^", 50,
     [](const Value& a, const Value& b) -> Value { return finite(std::pow(to_number(a), to_number(b))); }},
};

class BinaryNode : public Node {
public:
    BinaryNode(const Operator& which, NodePtr left, NodePtr right)
        : operator_(which), left_(std::move(left)), right_(std::move(right)) {}
    Value evaluate(const CellSource& source) const override {
        const Value left = left_->evaluate(source);
        return operator_.apply(left, right_->evaluate(source));
    }
    std::string text() const override {
        return in_parentheses(*left_, precedence()) + operator_.text +
               in_parentheses(*right_, precedence() + 1);
    }
    NodePtr moved(int rows, int columns) const override {
        return std::make_unique<BinaryNode>(operator_, left_->moved(rows, columns),
                                            right_->moved(rows, columns));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override {
        left_->visit_areas(visit);
        right_->visit_areas(visit);
    }
    int precedence() const override { return operator_.precedence; }

private:
    const Operator& operator_;
    NodePtr left_;
    NodePtr right_;
};

class CallNode : public Node {
public:
    CallNode(const Function& function, std::vector<NodePtr> arguments)
        : function_(function), arguments_(std::move(arguments)) {}
    Value evaluate(const CellSource& source) const override {
        return function_.call(Arguments(arguments_, source));
    }
    std::string text() const override {
        std::string result = function_.name;
        result += '(';
        for (std::size_t i = 0; i < arguments_.size(); i++) {
            result += (i > 0 ? "," : "") + arguments_[i]->text();
        }
        return result + ')';
    }
    NodePtr moved(int rows, int columns) const override {
        std::vector<NodePtr> arguments;
        for (const NodePtr& argument : arguments_) {
            arguments.push_back(argument->moved(rows, columns));
        }
        return std::make_unique<CallNode>(function_, std::move(arguments));
    }
    void visit_areas(const std::function<void(const Area&)>& visit) const override {
        for (const NodePtr& argument : arguments_) {
            argument->visit_areas(visit);
        }
    }

private:
    const Function& function_;
    std::vector<NodePtr> arguments_;
};

class Parser {
public:
    explicit Parser(std::string_view text) : tokens_(tokenize(text)) {}

    NodePtr run() {
        if (tokens_.size() > kMaxTokens) {
            fail("a formula that is too long");
        }
        NodePtr node = binary(0);
        if (peek().kind != TokenKind::kEnd) {
            fail("something behind the formula");
        }
        return node;
    }

private:
    static constexpr int kMaxNesting = 200;
    static constexpr std::size_t kMaxTokens = 4000;  // a tree is at most as deep

    const Token& peek() const { return tokens_[at_]; }
    const Token& take() { return tokens_[at_++]; }

    [[noreturn]] void fail(const std::string& what) const {
        throw FormulaError(ErrorCode::kSyntax, what + " at " + std::to_string(peek().position + 1));
    }

    bool next_is(std::string_view text) const {
        return peek().kind == TokenKind::kOperator && peek().text == text;
    }

    void expect(TokenKind kind, const char* what) {
        if (peek().kind != kind) {
            fail(std::string("expected ") + what);
        }
        at_++;
    }

    const Operator* binary_operator() const {
        if (peek().kind != TokenKind::kOperator) {
            return nullptr;
        }
        const auto found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                        [&](const Operator& one) { return peek().text == one.text; });
        return found == std::end(kOperators) ? nullptr : found;
    }

    NodePtr binary(int precedence) {
        if (++nesting_ > kMaxNesting) {
            fail("a formula that is nested too deeply");
        }
        NodePtr left = unary();
        for (const Operator* found = binary_operator(); found && found->precedence > precedence;
             found = binary_operator()) {
            at_++;
            left = std::make_unique<BinaryNode>(*found, std::move(left), binary(found->precedence));
        }
        nesting_--;
        return left;
    }

    NodePtr unary() {
        bool negative = false;
        bool any = false;
        while (next_is("-") || next_is("+")) {
            any = any || peek().text == "-";
            negative = negative != (take().text == "-");
        }
        NodePtr node = primary();
        while (next_is("%")) {
            at_++;
            node = std::make_unique<PercentNode>(std::move(node));
        }
        if (!any) {
            return node;
        }
        node = std::make_unique<NegationNode>(std::move(node));
        return negative ? std::move(node) : std::make_unique<NegationNode>(std::move(node));
    }

    NodePtr primary() {
        switch (peek().kind) {
        case TokenKind::kNumber:
            return std::make_unique<NumberNode>(take().number);
        case TokenKind::kText:
            return std::make_unique<TextNode>(take().text);
        case TokenKind::kReference:
            return reference();
        case TokenKind::kName:
            return name();
        case TokenKind::kOpen: {
            at_++;
            NodePtr node = binary(0);
            expect(TokenKind::kClose, ")");
            return node;
        }
        default:
            fail("expected a value");
        }
    }

    static Reference to_reference(const std::string& text) {
        std::string plain = text;
        plain.erase(std::remove(plain.begin(), plain.end(), '$'), plain.end());
        Reference result;
        result.cell = *parse_cell(plain);
        result.fixed_column = text.front() == '$';
        result.fixed_row = text.find('$', 1) != std::string::npos;
        return result;
    }

    NodePtr reference() {
        const Reference from = to_reference(take().text);
        if (peek().kind != TokenKind::kColon) {
            return std::make_unique<ReferenceNode>(from);
        }
        at_++;
        if (peek().kind != TokenKind::kReference) {
            fail("expected the end of a range");
        }
        return std::make_unique<RangeNode>(from, to_reference(take().text));
    }

    NodePtr name() {
        const std::string name = take().text;
        if (peek().kind != TokenKind::kOpen) {
            if (name == "TRUE" || name == "FALSE") {
                return std::make_unique<BooleanNode>(name == "TRUE");
            }
            throw FormulaError(ErrorCode::kName, "an unknown name: " + name);
        }
        const Function* function = find_function(name);
        if (!function) {
            throw FormulaError(ErrorCode::kName, "an unknown function: " + name);
        }
        at_++;
        std::vector<NodePtr> arguments;
        if (peek().kind != TokenKind::kClose) {
            arguments.push_back(binary(0));
            while (peek().kind == TokenKind::kComma) {
                at_++;
                arguments.push_back(binary(0));
            }
        }
        expect(TokenKind::kClose, ") behind the arguments");
        if (arguments.size() < function->min_arguments || arguments.size() > function->max_arguments) {
            fail("a wrong number of arguments for " + name);
        }
        return std::make_unique<CallNode>(*function, std::move(arguments));
    }

    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    int nesting_ = 0;
};

}  // namespace

NodePtr parse_formula(std::string_view formula) { return Parser(formula).run(); }

}  // namespace sheet
