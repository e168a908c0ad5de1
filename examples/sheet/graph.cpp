// SPDX-License-Identifier: Apache-2.0
#include "graph.hpp"

#include <algorithm>
#include <utility>

namespace sheet {
namespace {

// Tarjan's strongly connected components, with a stack of its own: chains of cells can be long.
class Components {
public:
    explicit Components(const std::map<Cell, std::vector<Cell>>& needs) : needs_(needs) {}

    DependencyGraph::Order run() {
        for (const auto& entry : needs_) {
            if (states_.find(entry.first) == states_.end()) {
                search(entry.first);
            }
        }
        return std::move(result_);
    }

private:
    struct State {
        int number;
        int lowest;
        bool open;
    };

    struct Visit {
        const Cell* cell;
        const std::vector<Cell>* needs;
        std::size_t next;
    };

    void enter(const Cell& cell) {
        const auto found = needs_.find(cell);
        states_[found->first] = State{counter_, counter_, true};
        counter_++;
        open_.push_back(found->first);
        visits_.push_back(Visit{&found->first, &found->second, 0});
    }

    void search(const Cell& start) {
        enter(start);
        while (!visits_.empty()) {
            Visit& visit = visits_.back();
            if (visit.next == visit.needs->size()) {
                leave(*visit.cell);
                continue;
            }
            const Cell& needed = (*visit.needs)[visit.next++];
            if (needs_.find(needed) == needs_.end()) {
                continue;  // a cell without a formula
            }
            const auto known = states_.find(needed);
            if (known == states_.end()) {
                enter(needed);
            } else if (known->second.open) {
                State& state = states_.at(*visit.cell);
                state.lowest = std::min(state.lowest, known->second.number);
            }
        }
    }

    void leave(const Cell& cell) {
        visits_.pop_back();
        const State state = states_.at(cell);
        if (!visits_.empty()) {
            State& parent = states_.at(*visits_.back().cell);
            parent.lowest = std::min(parent.lowest, state.lowest);
        }
        if (state.lowest != state.number) {
            return;
        }
        const auto& needs = needs_.at(cell);
        const bool alone = open_.back() == cell && std::find(needs.begin(), needs.end(), cell) == needs.end();
        Cell member;
        do {
            member = open_.back();
            open_.pop_back();
            states_.at(member).open = false;
            result_.cells.push_back(member);
            if (!alone) {
                result_.cyclic.insert(member);
            }
        } while (!(member == cell));
    }

    const std::map<Cell, std::vector<Cell>>& needs_;
    std::map<Cell, State> states_;
    std::vector<Cell> open_;
    std::vector<Visit> visits_;
    int counter_ = 0;
    DependencyGraph::Order result_;
};

}  // namespace

void DependencyGraph::add(const Cell& cell, std::vector<Cell> needs) { needs_[cell] = std::move(needs); }

DependencyGraph::Order DependencyGraph::order() const { return Components(needs_).run(); }

}  // namespace sheet
