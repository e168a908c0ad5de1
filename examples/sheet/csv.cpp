// SPDX-License-Identifier: Apache-2.0
#include "csv.hpp"

#include <stdexcept>
#include <utility>

namespace sheet {
namespace {

// Reads the inside of a quoted field; `line` counts the lines that it spans.
std::string read_quoted(std::istream& in, int& line) {
    std::string field;
    const int start = line;
    for (;;) {
        const int c = in.get();
        if (c == std::istream::traits_type::eof()) {
            throw std::runtime_error("line " + std::to_string(start) + ": a quoted field does not end");
        }
        if (c == '"') {
            if (in.peek() != '"') {
                return field;
            }
            in.get();
        }
        line += c == '\n' ? 1 : 0;
        field.push_back(static_cast<char>(c));
    }
}

}  // namespace

std::vector<Row> read_csv(std::istream& in) {
    std::vector<Row> rows;
    Row row;
    std::string field;
    bool started = false;
    int line = 1;
    for (int c = in.get(); c != std::istream::traits_type::eof(); c = in.get()) {
        if (c == '"' && field.empty()) {
            field = read_quoted(in, line);
            started = true;
        } else if (c == ',') {
            row.push_back(std::exchange(field, {}));
            started = true;
        } else if (c == '\n') {
            row.push_back(std::exchange(field, {}));
            rows.push_back(std::exchange(row, {}));
            started = false;
            line++;
        } else if (c != '\r') {
            field.push_back(static_cast<char>(c));
            started = true;
        }
    }
    if (started) {
        row.push_back(std::move(field));
        rows.push_back(std::move(row));
    }
    return rows;
}

void write_csv(std::ostream& out, const std::vector<Row>& rows) {
    for (const Row& row : rows) {
        const char* separator = "";
        for (const std::string& field : row) {
            out << std::exchange(separator, ",");
            if (field.find_first_of(",\"\r\n") == std::string::npos) {
                out << field;
                continue;
            }
            out << '"';
            for (const char c : field) {
                out << (c == '"' ? "\"" : "") << c;
            }
            out << '"';
        }
        out << '\n';
    }
}

}  // namespace sheet
