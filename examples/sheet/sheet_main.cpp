// SPDX-License-Identifier: Apache-2.0
// The command line: reads a sheet, then does one command after the other.
#include "engine.hpp"

#include <algorithm>
#include <exception>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using sheet::Area;
using sheet::Cell;
using sheet::Sheet;

const char kUsage[] =
    "usage: sheet FILE.csv [COMMAND]...   (- reads the standard input)\n"
    "  csv                     the values as CSV (the default)\n"
    "  table                   the values as an aligned table\n"
    "  formulas                the formulas as CSV\n"
    "  order                   the cells with formulas, in the order of evaluation\n"
    "  errors                  the cells that hold errors, and why\n"
    "  get CELL                one value\n"
    "  set CELL TEXT           change a cell; prints the cells whose values change\n"
    "  fill CELL RANGE         copy a cell; references move along\n"
    "  sort RANGE COLUMN asc|desc   sort rows by value\n"
    "  eval FORMULA            a formula that is not in the sheet\n";

class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

Cell to_cell(const std::string& text) {
    const auto cell = sheet::parse_cell(text);
    if (!cell) {
        throw UsageError("not a cell: " + text);
    }
    return *cell;
}

Area to_area(const std::string& text) {
    const auto colon = text.find(':');
    if (colon == std::string::npos) {
        return Area{to_cell(text), to_cell(text)};
    }
    const Area area{to_cell(text.substr(0, colon)), to_cell(text.substr(colon + 1))};
    if (area.rows() < 1 || area.columns() < 1) {
        throw UsageError("a range from its last to its first cell: " + text);
    }
    return area;
}

void print_table(const Sheet& table) {
    const auto rows = table.rows(false);
    const Cell size = table.extent();
    std::vector<std::size_t> widths;
    for (int column = 0; column < size.column; column++) {
        std::size_t width = sheet::column_name(column).size();
        for (const auto& row : rows) {
            width = std::max(width, row[static_cast<std::size_t>(column)].size());
        }
        widths.push_back(width);
    }
    std::cout << std::setw(4) << "";
    for (int column = 0; column < size.column; column++) {
        std::cout << "  " << std::left << std::setw(static_cast<int>(widths[static_cast<std::size_t>(column)]))
                  << sheet::column_name(column);
    }
    std::cout << '\n';
    for (std::size_t row = 0; row < rows.size(); row++) {
        std::cout << std::right << std::setw(4) << row + 1;
        for (std::size_t column = 0; column < rows[row].size(); column++) {
            const std::string& text = rows[row][column];
            const bool number = sheet::parse_number(text).has_value();
            std::cout << "  " << (number ? std::right : std::left)
                      << std::setw(static_cast<int>(widths[column])) << text;
        }
        std::cout << std::right << '\n';
    }
}

template <typename Visit>
void each_cell(const Sheet& table, Visit visit) {
    const Cell size = table.extent();
    for (int row = 0; row < size.row; row++) {
        for (int column = 0; column < size.column; column++) {
            visit(Cell{row, column});
        }
    }
}

void print_errors(const Sheet& table) {
    each_cell(table, [&](const Cell& cell) {
        const std::string problem = table.problem(cell);
        if (!problem.empty()) {
            std::cout << sheet::cell_name(cell) << ' ' << table.shown(cell) << ' ' << problem << '\n';
        }
    });
}

// Does `change`, and prints each value that differs afterwards.
template <typename Change>
void change_and_print(Sheet& table, Change change) {
    std::map<Cell, std::string> before;
    each_cell(table, [&](const Cell& cell) { before[cell] = table.shown(cell); });
    change();
    table.recalculate();
    each_cell(table, [&](const Cell& cell) {
        const std::string now = table.shown(cell);
        if (now != before[cell]) {
            std::cout << sheet::cell_name(cell) << ": " << before[cell] << " -> " << now << '\n';
        }
    });
}

class Commands {
public:
    Commands(Sheet& table, std::vector<std::string> words) : table_(table), words_(std::move(words)) {}

    void run() {
        while (at_ < words_.size()) {
            run_one(words_[at_++]);
        }
    }

private:
    const std::string& argument() {
        if (at_ == words_.size()) {
            throw UsageError("an argument is missing");
        }
        return words_[at_++];
    }

    void run_one(const std::string& command) {
        if (command == "csv") {
            sheet::write_csv(std::cout, table_.rows(false));
        } else if (command == "table") {
            print_table(table_);
        } else if (command == "formulas") {
            sheet::write_csv(std::cout, table_.rows(true));
        } else if (command == "order") {
            for (const Cell& cell : table_.order()) {
                std::cout << sheet::cell_name(cell) << ' ';
            }
            std::cout << '\n';
        } else if (command == "errors") {
            print_errors(table_);
        } else if (command == "get") {
            std::cout << table_.shown(to_cell(argument())) << '\n';
        } else if (command == "set") {
            const Cell cell = to_cell(argument());
            const std::string& text = argument();
            change_and_print(table_, [&] { table_.set(cell, text); });
        } else if (command == "fill") {
            const Cell from = to_cell(argument());
            const Area to = to_area(argument());
            change_and_print(table_, [&] { table_.copy(from, to); });
        } else if (command == "sort") {
            sort();
        } else if (command == "eval") {
            evaluate(argument());
        } else {
            throw UsageError("an unknown command: " + command);
        }
    }

    void sort() {
        const Area area = to_area(argument());
        const Cell column = to_cell(argument() + "1");
        const std::string& direction = argument();
        if (direction != "asc" && direction != "desc") {
            throw UsageError("expected asc or desc, got " + direction);
        }
        table_.sort_rows(area, column.column, direction == "desc");
    }

    void evaluate(const std::string& formula) {
        try {
            std::cout << sheet::to_text(sheet::parse_formula(formula)->evaluate(table_)) << '\n';
        } catch (const sheet::FormulaError& error) {
            std::cout << sheet::error_text(error.code()) << ' ' << error.what() << '\n';
        }
    }

    Sheet& table_;
    std::vector<std::string> words_;
    std::size_t at_ = 0;
};

std::vector<sheet::Row> read_file(const std::string& path) {
    if (path == "-") {
        return sheet::read_csv(std::cin);
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw std::runtime_error("cannot open " + path);
    }
    return sheet::read_csv(file);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) {
        std::cerr << kUsage;
        return 2;
    }
    try {
        Sheet table(read_file(words.front()));
        words.erase(words.begin());
        if (words.empty()) {
            words.push_back("csv");
        }
        Commands(table, std::move(words)).run();
        std::cout.flush();
        return std::cout ? 0 : 1;
    } catch (const UsageError& error) {
        std::cerr << "sheet: " << error.what() << '\n' << kUsage;
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "sheet: " << error.what() << '\n';
        return 1;
    }
}
