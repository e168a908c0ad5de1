// SPDX-License-Identifier: Apache-2.0
// Comma-separated values, as RFC 4180 has them.
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace sheet {

using Row = std::vector<std::string>;

std::vector<Row> read_csv(std::istream& in);  // throws std::runtime_error
void write_csv(std::ostream& out, const std::vector<Row>& rows);

}  // namespace sheet
