#include "lcomp/compression/compress_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/formats/compressed_folder.h"
#include "lcomp/formats/format.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/safetensors.h"
#include "lcomp/quantizers/quantizer_table.h"
#include "plans.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

CompressionPlan rtn(int bits, int group_size = 16) {
  return testing::plan_of({{"quantizer", {{"method", "rtn"}, {"bits", bits}, {"group_size", group_size}}}});
}

std::uint64_t file_data_bytes(const std::filesystem::path& folder) {
  const SafetensorsFile file(folder / "model.safetensors");
  std::uint64_t bytes = 0;
  for (const auto& entry : file.entries()) bytes += entry.bytes.size();
  return bytes;
}

bool same_values(const Matrix& a, const Matrix& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// The tiny models of the reference values: a tied and an untied one.
class CompressModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { LCOMP_REQUIRE(testing::golden("families/" + GetParam())); }
  ModelFolder original() const { return open_model(testing::golden("families/" + GetParam())); }
  std::filesystem::path out() const { return folder_ / "compressed"; }

  testing::TemporaryFolder folder_;
};

TEST_P(CompressModelTest, ReloadsToTheBitWhatTheQuantizerMade) {
  const ModelFolder model = original();
  for (const int bits : {8, 4, 2}) {
    const CompressionReport report = compress_model(model, rtn(bits), out(), {.replace = true});
    const ModelFolder reloaded = open_model(out());
    const auto quantizer = make_quantizer("rtn:group=16,bits=" + std::to_string(bits), "test");
    std::set<std::string> compared;
    for (const ModelComponent& component : model_components(model)) {
      const Matrix weight = model.tensors->read(component.tensor);
      const Matrix expected = decode(quantizer->quantize(weight.view(), {}, component.name).weight);
      EXPECT_TRUE(same_values(reloaded.tensors->read(component.tensor), expected)) << component.name;
      compared.insert(component.tensor);
    }
    for (const std::string& tensor : uncompressed_tensors(model)) {
      EXPECT_TRUE(same_values(reloaded.tensors->read(tensor), model.tensors->read(tensor))) << tensor;
      compared.insert(tensor);
    }
    EXPECT_EQ(compared.size(), model.tensors->tensors().size());
    EXPECT_EQ(reloaded.tensors->tensors().size(), model.tensors->tensors().size());
    for (const TensorInfo& tensor : model.tensors->tensors())
      EXPECT_EQ(reloaded.tensors->info(tensor.name).shape, tensor.shape);
    EXPECT_EQ(reloaded.config_json.at("hidden_size"), model.config_json.at("hidden_size"));
  }
}

TEST_P(CompressModelTest, EveryCountOfBytesIsTheSame) {
  const ModelFolder model = original();
  const CompressionReport report = compress_model(model, rtn(3), out());
  const ModelFolder reloaded = open_model(out());
  EXPECT_EQ(report.bytes, file_data_bytes(out()));
  EXPECT_EQ(report.bytes, reloaded.stored_bytes());
  EXPECT_EQ(report.parameters, model.parameters());
  EXPECT_EQ(report.parameters, reloaded.parameters());
  std::uint64_t bytes = report.kept_bytes;
  std::uint64_t parameters = report.kept_parameters;
  for (const ComponentReport& line : report.components) {
    EXPECT_DOUBLE_EQ(line.bits_per_weight, 8 * static_cast<double>(line.bytes) / static_cast<double>(line.parameters));
    bytes += line.bytes;
    parameters += line.parameters;
  }
  EXPECT_EQ(bytes, report.bytes);
  EXPECT_EQ(parameters, report.parameters);
  EXPECT_DOUBLE_EQ(report.bits_per_weight,
                   8 * static_cast<double>(report.bytes) / static_cast<double>(report.parameters));
  EXPECT_DOUBLE_EQ(report.ratio, 16 / report.bits_per_weight);
  const Json config = CompressedFolder(out()).config().at("quantization_config");
  EXPECT_EQ(config.at("bytes"), report.bytes);
  EXPECT_EQ(config.at("plan"), to_json(rtn(3)));
}

TEST_P(CompressModelTest, ErrorsFallWithBits) {
  double last = 1;  // two bits more divide the squared error by 16, roughly; 2 bits themselves leave about a seventh
  for (const int bits : {2, 4, 8}) {
    double worst = 0;
    for (const auto& line : compress_model(original(), rtn(bits), out(), {.replace = true}).components) {
      worst = std::max(worst, line.relative_error);
    }
    EXPECT_LT(worst, last / 5);
    last = worst;
  }
}

TEST_P(CompressModelTest, TheSameBytesOnAnyNumberOfThreads) {
  const std::size_t threads = thread_count();
  const Json target = {{"quantizer", {{"method", "rtn"}, {"grid", "mse"}, {"scales", "u8"}}},
                       {"target", {{"bits_per_weight", 4.5}}}};
  set_thread_count(1);
  compress_model(original(), testing::plan_of(target), folder_ / "one");
  set_thread_count(3);
  compress_model(original(), testing::plan_of(target), folder_ / "three");
  set_thread_count(threads);
  for (const char* file : {"model.safetensors", "config.json"}) {
    EXPECT_EQ(read_text_file(folder_ / "one" / file), read_text_file(folder_ / "three" / file));
  }
}

TEST_P(CompressModelTest, TargetsAreMetAndNeverExceeded) {
  const ModelFolder model = original();
  const std::uint64_t kept = compress_model(model, rtn(4), folder_ / "any").kept_bytes;
  for (const double ratio : {2.0, 2.5, 3.0, 4.0}) {
    const Json json = {{"quantizer", {{"method", "rtn"}, {"group_size", "channel"}}}, {"target", {{"ratio", ratio}}}};
    const CompressionReport report = compress_model(model, testing::plan_of(json), out(), {.replace = true});
    const std::uint64_t budget = CompressionTarget{CompressionTarget::Kind::ratio, ratio}.budget(report.parameters);
    EXPECT_LE(report.bytes, budget);
    EXPECT_GE(report.ratio, ratio);
    EXPECT_EQ(report.bytes, file_data_bytes(out()));
    std::uint64_t smallest_raise = report.parameters;
    for (const auto& line : report.components) {
      if (line.quantizer.find("b8") == std::string::npos)
        smallest_raise = std::min(smallest_raise, line.parameters / 8 + 64);
    }
    EXPECT_GT(report.bytes + 2 * smallest_raise, std::min<std::uint64_t>(budget, kept + report.parameters)) << ratio;
  }
}

TEST_P(CompressModelTest, ATargetOutOfReachSaysWhatIsInReach) {
  const Json json = {{"quantizer", {{"method", "rtn"}}}, {"target", {{"ratio", 100}}}};
  EXPECT_THAT(testing::message([&] { compress_model(original(), testing::plan_of(json), out()); }),
              AllOf(HasSubstr("at least"), HasSubstr("ratio")));
  EXPECT_FALSE(std::filesystem::exists(out()));
}

TEST_P(CompressModelTest, ATargetWithNothingToChooseIsRefused) {
  const Json json = {{"quantizer", {{"method", "rtn"}, {"bits", 4}}}, {"target", {{"ratio", 3}}}};
  EXPECT_THROW(compress_model(original(), testing::plan_of(json), out()), Error);
}

TEST_P(CompressModelTest, PatternsSetSingleComponents) {
  const Json json = {{"quantizer", {{"method", "rtn"}, {"bits", 4}}},
                     {"components", {{"*.down_proj", {{"bits", 6}}}, {"model.embed_tokens", "f16"}}}};
  const CompressionReport report = compress_model(original(), testing::plan_of(json), out());
  for (const auto& line : report.components) {
    const bool down = line.name.ends_with("down_proj");
    EXPECT_EQ(line.quantizer, line.kind == ComponentKind::embedding ? "f16"
                              : down                                ? "rtn:bits=6,group=64,asym"
                                                                    : "rtn:bits=4,group=64,asym");
  }
}

TEST_P(CompressModelTest, FixedComponentsCountAgainstTheTarget) {
  const Json json = {{"quantizer", {{"method", "rtn"}}},
                     {"components", {{"model.embed_tokens", {{"bits", 8}}}}},
                     {"target", {{"bits_per_weight", 6}}}};
  const CompressionReport report = compress_model(original(), testing::plan_of(json), out());
  EXPECT_EQ(report.components[0].quantizer, "rtn:bits=8,group=64,asym");
  EXPECT_LE(report.bits_per_weight, 6);
  EXPECT_GT(report.bits_per_weight, 5.5);
}

TEST_P(CompressModelTest, AnInterruptionLeavesNothing) {
  int events = 0;
  const auto interrupt = [&events](const ProgressEvent& event) {
    EXPECT_LE(event.done, event.total);
    if (++events == 3) throw Interrupted();
  };
  EXPECT_THROW(compress_model(original(), rtn(4), out(), {}, interrupt), Interrupted);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_P(CompressModelTest, ReplacesOnlyWhenAsked) {
  compress_model(original(), rtn(4), out());
  EXPECT_THROW(compress_model(original(), rtn(4), out()), Error);
  EXPECT_NO_THROW(compress_model(original(), rtn(2), out(), {.replace = true}));
}

TEST_P(CompressModelTest, ACompressedModelCanBeCompressedAgain) {
  compress_model(original(), rtn(8), folder_ / "first");
  const CompressionReport again = compress_model(open_model(folder_ / "first"), rtn(4), folder_ / "second");
  EXPECT_EQ(again.bytes, compress_model(original(), rtn(4), folder_ / "direct").bytes);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& family) {
  std::string name = family.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Families, CompressModelTest, ::testing::Values("llama-tied", "llama2"), test_name);

TEST(CompressTiedModelTest, TheTiedEmbeddingIsOneComponent) {
  LCOMP_REQUIRE(testing::golden("families/llama-tied"));
  const auto components = model_components(open_model(testing::golden("families/llama-tied")));
  EXPECT_EQ(components[0].kind, ComponentKind::embedding);
  for (const auto& component : components) EXPECT_NE(component.kind, ComponentKind::head);
  EXPECT_EQ(components.size(), 1u + 4 * 7);
}

// A tensor source in memory, for models that no family reads yet.
class MemoryTensors : public TensorSource {
 public:
  void add(const std::string& name, std::vector<std::size_t> shape, float value) {
    TensorInfo info{name, std::move(shape), "F32", 0};
    values_.emplace_back(info.elements());
    for (std::size_t i = 0; i < values_.back().size(); ++i) values_.back()[i] = value * std::sin(static_cast<float>(i));
    infos_.push_back(std::move(info));
  }
  std::vector<float>& values(std::size_t index) { return values_[index]; }
  const std::string& where() const override { return where_; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_rows(std::string_view name, std::size_t row_begin, std::size_t row_count,
                 std::span<float> out) const override {
    const auto& values = values_[static_cast<std::size_t>(&info(name) - infos_.data())];
    const std::size_t cols = info(name).cols();
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row_begin * cols), row_count * cols, out.begin());
  }

 private:
  std::string where_ = "memory";
  std::vector<TensorInfo> infos_;
  std::vector<std::vector<float>> values_;
};

// One block with fused q, k, v, a router and a bias.
ModelFolder fused_model(const std::shared_ptr<MemoryTensors>& tensors) {
  tensors->add("bias", {24}, 0.1f);  // sorted by name
  tensors->add("embed.weight", {10, 8}, 1);
  tensors->add("norm.weight", {8}, 3.0e-6f);
  tensors->add("qkv.weight", {24, 8}, 0.5f);
  tensors->add("router.weight", {4, 8}, 0.3f);
  ModelFolder model;
  model.path = "memory";
  model.config_json = {{"model_type", "test"}};
  model.tensors = tensors;
  model.slices.embedding = {"embed.weight", 0, 10, 8};
  BlockSlices block;
  block.query = {{"qkv.weight", 0, 8, 8}, {"bias", 0, 8, 1}};
  block.key = {{"qkv.weight", 8, 8, 8}, {"bias", 8, 8, 1}};
  block.value = {{"qkv.weight", 16, 8, 8}, {"bias", 16, 8, 1}};
  block.router = {{"router.weight", 0, 4, 8}, {}};
  block.input_norm = {{"norm.weight", 0, 8, 1}, {}};
  model.slices.blocks.push_back(block);
  return model;
}

TEST(CompressFusedModelTest, FusedTensorsAreOneComponentAndRoutersAreKept) {
  const auto tensors = std::make_shared<MemoryTensors>();
  const ModelFolder model = fused_model(tensors);
  const testing::TemporaryFolder folder;
  const CompressionReport report = compress_model(model, rtn(4, 8), folder / "out");
  ASSERT_EQ(report.components.size(), 3u);
  EXPECT_EQ(report.components[1].name, "qkv");
  EXPECT_EQ(report.components[1].parameters, 24u * 8);
  EXPECT_EQ(report.components[2].kind, ComponentKind::router);
  EXPECT_EQ(report.components[2].relative_error, 0);
  const CompressedFolder written(folder / "out");
  ASSERT_EQ(written.tensors().size(), 5u);
  EXPECT_EQ(written.info("router.weight").stored_as, "f32");
  EXPECT_EQ(written.info("norm.weight").stored_as, "f32");  // 3e-6 sin(i) is no f16
  for (const char* name : {"router.weight", "norm.weight", "bias"})
    EXPECT_TRUE(same_values(written.read(name), tensors->read(name)));
}

TEST(CompressFusedModelTest, DamagedWeightsAreNamedAndNothingIsLeft) {
  const auto tensors = std::make_shared<MemoryTensors>();
  const ModelFolder model = fused_model(tensors);
  const testing::TemporaryFolder folder;
  tensors->values(3)[20 * 8 + 5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(testing::message([&] { compress_model(model, rtn(4), folder / "out"); }),
              HasSubstr("qkv, row 20, column 5"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace lcomp
