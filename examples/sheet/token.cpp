// SPDX-License-Identifier: Apache-2.0
#include "token.hpp"

#include "cell.hpp"

#include <algorithm>
#include <cctype>

namespace sheet {
namespace {

class Tokenizer {
public:
    explicit Tokenizer(std::string_view text) : text_(text) {}

    std::vector<Token> run() {
        std::vector<Token> tokens;
        while (skip_space()) {
            tokens.push_back(next());
        }
        tokens.push_back(Token{TokenKind::kEnd, "", 0, text_.size()});
        return tokens;
    }

private:
    bool skip_space() {
        while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) {
            at_++;
        }
        return at_ < text_.size();
    }

    char peek(std::size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }

    static bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
    static bool is_word(char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '.';
    }

    [[noreturn]] void fail(const std::string& what) const {
        throw FormulaError(ErrorCode::kSyntax, what + " at " + std::to_string(at_ + 1));
    }

    Token next() {
        const char c = peek();
        if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
            return number();
        }
        if (c == '"') {
            return quoted();
        }
        if (is_word(c)) {
            return word();
        }
        return symbol();
    }

    Token number() {
        const std::size_t start = at_;
        while (is_digit(peek()) || peek() == '.') {
            at_++;
        }
        if (peek() == 'e' || peek() == 'E') {
            const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
            if (is_digit(peek(sign))) {
                at_ += sign;
                while (is_digit(peek())) {
                    at_++;
                }
            }
        }
        const std::string text(text_.substr(start, at_ - start));
        const auto value = parse_number(text);
        if (!value || is_word(peek())) {
            fail("a number that is not well-formed");
        }
        return Token{TokenKind::kNumber, text, *value, start};
    }

    Token quoted() {
        const std::size_t start = at_++;
        std::string text;
        for (;;) {
            if (at_ == text_.size()) {
                fail("a text that does not end");
            }
            const char c = text_[at_++];
            if (c == '"') {
                if (peek() != '"') {
                    break;
                }
                at_++;
            }
            text.push_back(c);
        }
        return Token{TokenKind::kText, text, 0, start};
    }

    Token word() {
        const std::size_t start = at_;
        while (is_word(peek())) {
            at_++;
        }
        std::string text = upper(text_.substr(start, at_ - start));
        std::string plain = text;
        plain.erase(std::remove(plain.begin(), plain.end(), '$'), plain.end());
        const bool reference = peek() != '(' && parse_cell(plain).has_value();
        if (!reference && plain != text) {
            fail("a $ that is not in a reference");
        }
        return Token{reference ? TokenKind::kReference : TokenKind::kName, std::move(text), 0, start};
    }

    Token symbol() {
        const std::size_t start = at_;
        const char c = text_[at_++];
        switch (c) {
        case '(':
            return Token{TokenKind::kOpen, "(", 0, start};
        case ')':
            return Token{TokenKind::kClose, ")", 0, start};
        case ',':
        case ';':
            return Token{TokenKind::kComma, ",", 0, start};
        case ':':
            return Token{TokenKind::kColon, ":", 0, start};
        case '<':
            if (peek() == '=' || peek() == '>') {
                return Token{TokenKind::kOperator, std::string{c, text_[at_++]}, 0, start};
            }
            return Token{TokenKind::kOperator, "<", 0, start};
        case '>':
            if (peek() == '=') {
                at_++;
                return Token{TokenKind::kOperator, ">=", 0, start};
            }
            return Token{TokenKind::kOperator, ">", 0, start};
        case '+':
        case '-':
        case '*':
        case '/':
        case '^':
        case '&':
        case '%':
        case '=':
            return Token{TokenKind::kOperator, std::string(1, c), 0, start};
        default:
            at_ = start;
            fail(std::string("a character that has no meaning: ") + c);
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

std::vector<Token> tokenize(std::string_view formula) { return Tokenizer(formula).run(); }

}  // namespace sheet
