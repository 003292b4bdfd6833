#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lcomp/archive/archive.h"
#include "lcomp/forward/gradients.h"
#include "lcomp/io/tensor_source.h"

namespace lcomp {

// A vector in training, with Adam's moments.
struct TrainedVector {
  std::vector<float> values, first, second;
  std::vector<float> gradient;  // of the step at work; empty: none was seen
  double unit = 1;              // mean magnitude at the beginning: what rates are relative to
};

// A compressed model some of whose vectors, and a factor of each row of some matrices, are being trained.
class TrainedTensors : public TensorSource {
 public:
  TrainedTensors(std::shared_ptr<const TensorSource> base, const std::vector<std::string>& vectors,
                 const std::vector<std::string>& scaled_matrices);

  const std::string& where() const override { return base_->where(); }
  const std::vector<TensorInfo>& tensors() const override { return base_->tensors(); }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override;

  const std::vector<float>* vector(const std::string& name) const;   // null: not trained
  const std::vector<float>* factors(const std::string& name) const;  // likewise

  bool trains(const std::string& name) const { return vectors_.contains(name) || factors_.contains(name); }
  // Of a tensor that is trained, or of a matrix whose factors are: they get theirs from it.
  void take_gradient(const std::string& name, std::span<const float> gradient);
  // One step of Adam, the first being 1; gradients are used up.
  void step(int number, double rate);

  using Values = std::map<std::string, std::vector<float>>;  // by name; factors as "NAME rows"
  Values values() const;
  void set_values(const Values& values);

  // Values and moments.
  void store(Archive& archive, const std::string& prefix) const;
  void load(const Archive& archive, const std::string& prefix);

 private:
  std::map<std::string, TrainedVector*> all();
  std::map<std::string, const TrainedVector*> all() const;

  std::shared_ptr<const TensorSource> base_;
  std::map<std::string, TrainedVector, std::less<>> vectors_, factors_;
};

}  // namespace lcomp
