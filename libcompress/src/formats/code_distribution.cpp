#include "formats/code_distribution.h"

#include <array>
#include <cmath>
#include <mutex>

namespace lcomp {
namespace {

// e^-x for x >= 0 by additions, multiplications and powers of two alone.
double exponential(double x) {
  constexpr double ln2 = 0.69314718055994530942;
  if (x > 700) return 0;
  const double octaves = static_cast<double>(static_cast<int>(x / ln2));
  const double rest = x - octaves * ln2;
  double term = 1;
  double sum = 1;
  for (int k = 1; k <= 20; ++k) {
    term = term * -rest / k;
    sum = sum + term;
  }
  return std::ldexp(sum, -static_cast<int>(octaves));
}

// 2^(quarters / 4).
double quarter_octaves(int quarters) {
  constexpr double roots[4] = {1.0, 1.1892071150027210667, 1.4142135623730950488, 1.6817928305074290861};
  const int octaves = quarters >= 0 ? quarters / 4 : -((3 - quarters) / 4);
  return std::ldexp(roots[quarters - 4 * octaves], octaves);
}

// Of mean magnitude 1, up to a factor: shape 0 is Laplacian, 3 Gaussian, those between mixtures.
double density(double x, int shape) {
  constexpr double mean_square = 1.5707963267948966192;  // of a Gaussian of mean magnitude 1: pi / 2
  const double magnitude = x < 0 ? -x : x;
  const double laplace = 0.5 * exponential(magnitude);
  const double gauss = 0.31830988618379067154 * exponential(0.5 * magnitude * magnitude / mean_square);  // 1 / pi
  constexpr double share[CodeTables::shapes] = {0, 0.45, 0.8, 1};
  return share[shape] * gauss + (1 - share[shape]) * laplace;
}

// The mass of [low, high] by the midpoint rule.
double mass(double low, double high, int shape) {
  constexpr int parts = 16;
  const double step = (high - low) / parts;
  double sum = 0;
  for (int k = 0; k < parts; ++k) sum = sum + density(low + (k + 0.5) * step, shape);
  return sum * step;
}

// Of one table: frequencies that sum to total, and where each begins. A frequency may be 0: such codes are written as
// escapes.
struct Table {
  std::array<std::uint16_t, CodeTables::alphabet> frequency{}, begin{};
};

// Frequencies with sum `total`: those of the cells, rounded down; what is left goes to the likeliest. Cells of less
// than half a slot get none.
Table make_table(int spacing, unsigned parity, int table_class, int shape) {
  const double mean = quarter_octaves(table_class);
  std::array<double, CodeTables::alphabet> masses{};
  double sum = 0;
  std::size_t likeliest = 0;
  for (std::size_t symbol = 0; symbol < CodeTables::escape; ++symbol) {
    const int code = static_cast<int>(symbol) - CodeTables::half_alphabet;
    const double level = spacing * code + (spacing == 2 ? static_cast<int>(parity) : 0);
    const double half = 0.5 * spacing;
    // A cell far wider than the density is cut where the density is.
    const double low = (level - half) / mean;
    const double high = (level + half) / mean;
    constexpr double widest = 40;
    const double from = low < -widest ? -widest : low;
    const double to = high > widest ? widest : high;
    double cell = 0;
    if (to > from) {
      const int pieces = 1 + static_cast<int>((to - from) / 0.5);
      for (int k = 0; k < pieces; ++k) {
        cell = cell + mass(from + (to - from) * k / pieces, from + (to - from) * (k + 1) / pieces, shape);
      }
    }
    masses[symbol] = cell;
    sum = sum + cell;
    if (cell > masses[likeliest]) likeliest = symbol;
  }
  Table table{};
  const double scale = static_cast<double>(CodeTables::total - 1) / sum;
  std::uint32_t used = 1;  // the escape
  table.frequency[CodeTables::escape] = 1;
  for (std::size_t symbol = 0; symbol < CodeTables::escape; ++symbol) {
    const double share = masses[symbol] * scale;
    const auto whole = static_cast<std::uint32_t>(share);
    table.frequency[symbol] = static_cast<std::uint16_t>(whole > 0 ? whole : share >= 0.5 ? 1 : 0);
    used += table.frequency[symbol];
  }
  while (used > CodeTables::total) {  // small cells rounded up
    --table.frequency[likeliest];
    --used;
  }
  table.frequency[likeliest] = static_cast<std::uint16_t>(table.frequency[likeliest] + (CodeTables::total - used));
  std::uint32_t begin = 0;
  for (std::size_t symbol = 0; symbol < CodeTables::alphabet; ++symbol) {
    table.begin[symbol] = static_cast<std::uint16_t>(begin);
    begin += table.frequency[symbol];
  }
  return table;
}

CodeTables::Slots make_slots(const Table& table) {
  constexpr std::uint32_t half_alphabet = CodeTables::half_alphabet;
  CodeTables::Slots slots{};
  for (std::size_t symbol = 0; symbol < CodeTables::alphabet; ++symbol) {
    for (std::uint32_t k = 0; k < table.frequency[symbol]; ++k) {
      slots.entries[table.begin[symbol] + k] =
          (static_cast<std::uint32_t>(symbol) - half_alphabet) << 24 | std::uint32_t{table.frequency[symbol]} << 12 | k;
    }
  }
  return slots;
}

CodeTables make_tables(int spacing, int shape) {
  CodeTables out;
  for (int c = CodeTables::smallest_class; c <= CodeTables::largest_class; ++c) {
    std::array<double, 2> means{};  // by parity
    for (unsigned parity = 0; parity < 2; ++parity) {
      const Table table = make_table(spacing, parity, c, shape);
      out.slots.push_back(make_slots(table));
      const float of_escape = static_cast<float>(CodeTables::probability_bits) + 24;
      for (std::size_t symbol = 0; symbol < CodeTables::alphabet; ++symbol) {
        const bool escaped = symbol == CodeTables::escape || table.frequency[symbol] == 0;
        const std::size_t stored = escaped ? CodeTables::escape : symbol;
        out.intervals.push_back((escaped ? CodeTables::escape_flag : 0u) |
                                std::uint32_t{table.frequency[stored]} << 12 | table.begin[stored]);
        const double share = static_cast<double>(table.frequency[symbol]) / CodeTables::total;
        out.bits.push_back(escaped ? of_escape : -static_cast<float>(std::log2(share)));
        if (symbol == CodeTables::escape) continue;
        const int code = static_cast<int>(symbol) - CodeTables::half_alphabet;
        means[parity] += share * std::abs(spacing * code + (spacing == 2 ? static_cast<int>(parity) : 0));
      }
    }
    const auto even = static_cast<float>(means[0]);
    // States with odd levels are hardly entered where weights are far below a step.
    out.magnitude.push_back(c < 0 ? even : 0.5F * (even + static_cast<float>(means[1])));
  }
  return out;
}

}  // namespace

const CodeTables& CodeTables::of(int spacing, int shape) {
  static std::array<std::once_flag, 2 * shapes> made;
  static std::array<std::unique_ptr<const CodeTables>, 2 * shapes> kept;
  const auto at = static_cast<std::size_t>((spacing - 1) * shapes + shape);
  std::call_once(made[at], [&] { kept[at] = std::make_unique<const CodeTables>(make_tables(spacing, shape)); });
  return *kept[at];
}

}  // namespace lcomp
