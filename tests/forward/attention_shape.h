#pragma once

#include <cmath>

#include "forward/attention.h"

namespace lcomp::testing {

inline AttentionShape make_shape(std::size_t heads, std::size_t kv_heads, std::size_t head_dim, std::size_t window = 0,
                                 float softcap = 0) {
  AttentionShape shape;
  shape.num_heads = heads;
  shape.num_key_value_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  shape.window = window;
  shape.softcap = softcap;
  return shape;
}

}  // namespace lcomp::testing
