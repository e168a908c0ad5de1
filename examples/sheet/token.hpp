// SPDX-License-Identifier: Apache-2.0
// The text of a formula as tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sheet {

enum class TokenKind { kNumber, kText, kName, kReference, kOperator, kOpen, kClose, kComma, kColon, kEnd };

struct Token {
    TokenKind kind = TokenKind::kEnd;
    std::string text;  // a reference keeps its $ signs
    double number = 0;
    std::size_t position = 0;
};

// Throws FormulaError (kSyntax). The last token is kEnd.
std::vector<Token> tokenize(std::string_view formula);

}  // namespace sheet
