// SPDX-License-Identifier: Apache-2.0
// Which cell needs which, the order to evaluate them in, and the cycles.
#pragma once

#include "cell.hpp"

#include <map>
#include <set>
#include <vector>

namespace sheet {

class DependencyGraph {
public:
    void add(const Cell& cell, std::vector<Cell> needs);

    struct Order {
        std::vector<Cell> cells;  // each behind all that it needs
        std::set<Cell> cyclic;    // these need themselves
    };
    Order order() const;

private:
    std::map<Cell, std::vector<Cell>> needs_;
};

}  // namespace sheet
