#include "lcomp/formats/compressed_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lcomp/core/error.h"
#include "lcomp/core/rng.h"
#include "lcomp/formats/banded_integer.h"
#include "lcomp/formats/codebook.h"
#include "lcomp/formats/dense.h"
#include "lcomp/formats/format.h"
#include "lcomp/formats/grouped_integer.h"
#include "lcomp/formats/logarithmic.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/io/config_reader.h"
#include "lcomp/io/safetensors.h"
#include "support/error_message.h"
#include "support/reference_data.h"

namespace lcomp {
namespace {

using ::testing::HasSubstr;

GroupedIntegerWeight random_grouped(std::size_t rows, std::size_t cols, int bits, std::uint64_t seed) {
  GroupedIntegerLayout layout;
  layout.rows = rows;
  layout.cols = cols;
  layout.bits = bits;
  layout.symmetric = false;
  layout.group_size = std::min<std::size_t>(cols, 16);
  layout.scale_storage = ScaleStorage::u8;
  GroupedIntegerWeight weight = make_grouped_integer(layout, "w");
  Rng rng(seed);
  std::vector<std::uint8_t> codes(cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (auto& code : codes) code = static_cast<std::uint8_t>(rng.below(std::uint64_t{1} << bits));
    pack_row(weight, i, codes);
  }
  for (auto& scale : weight.scales) scale = static_cast<std::uint8_t>(rng.below(256));
  for (std::size_t i = 0; i < weight.row_scales.size(); i += 2) weight.row_scales[i + 1] = 0x3c;  // 1.0
  for (auto& zero : weight.zeros) zero = static_cast<std::uint8_t>(rng.below(256));
  return weight;
}

DenseWeight gains(std::size_t size) {
  Matrix values(size, 1);
  for (std::size_t i = 0; i < size; ++i) values(i, 0) = static_cast<float>(i) / 4;
  return encode_dense(values.view(), DenseType::f16, "norm");
}

// Codes 0, 1, 2, ... and scales 1, 2, 3, ...
template <typename Weight>
void count_up(Weight& weight, bool with_scales) {
  std::vector<std::uint8_t> codes(weight.cols);
  std::vector<float> scales(groups_per_row(weight));
  for (std::size_t i = 0; i < weight.rows; ++i) {
    for (std::size_t j = 0; j < codes.size(); ++j) codes[j] = static_cast<std::uint8_t>((i + j) % (1u << weight.bits));
    for (std::size_t g = 0; g < scales.size(); ++g) scales[g] = static_cast<float>(1 + i + g);
    pack_row(weight, i, codes);
    if (with_scales) set_scales(weight, i, scales, 0);
  }
}

// One weight of each kind of table, and of bands.
std::vector<CompressedWeight> table_weights() {
  LogarithmicWeight logarithmic = make_logarithmic({6, 40, 3, true, 16, ScaleStorage::f16, true}, "w");
  count_up(logarithmic, true);
  set_base(logarithmic, 1.7f);
  std::vector<std::uint32_t> permutation(40);
  for (std::uint32_t j = 0; j < 40; ++j) permutation[j] = j * 7 % 40;
  set_permutation(logarithmic, permutation);
  CodebookWeight own = make_codebook({3, 5, 2, 3, std::nullopt, false}, "w");
  count_up(own, false);
  for (std::size_t k = 0; k < 6; ++k) set_levels(own, k, std::vector<float>{-1, 0, 0.25f, static_cast<float>(k)});
  CodebookWeight shared = make_codebook({4, 9, 1, 9, ScaleStorage::f16, false}, "w");
  count_up(shared, true);
  set_levels(shared, 0, std::vector<float>{-0.5f, 1});
  BandedIntegerWeight banded = make_banded_integer(3, 70, false, std::vector<std::uint8_t>{4, 2, 0}, "w");
  for (auto& byte : banded.codes) byte = 0x5a;
  const BandedIntegerWeight without_bits = make_banded_integer(3, 40, true, std::vector<std::uint8_t>{0, 0}, "w");
  return {logarithmic, own, shared, banded, without_bits};
}

const nlohmann::json original_config = {{"model_type", "llama"}, {"hidden_size", 40}};

class CompressedFolderTest : public ::testing::Test {
 protected:
  void write(const std::string& name = "model", bool replace = false) {
    CompressedFolderWriter writer(folder_ / name, replace);
    writer.add("a.weight", {6, 40}, CompressedWeight(attention_));
    writer.add("norm.weight", {40}, CompressedWeight(gains(40)));
    writer.add("b.weight", {3, 5}, CompressedWeight(head_));
    writer.finish(original_config, {{"bits_per_weight", 3.5}});
  }

  void write_tables() {
    CompressedFolderWriter writer(folder_ / "model", false);
    const std::vector<CompressedWeight> weights = table_weights();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const WeightLayout stored = layout(weights[i]);
      writer.add("table." + std::to_string(i), {rows(stored), cols(stored)}, weights[i]);
    }
    writer.finish(original_config);
  }

  std::string opening_fails(const std::string& name = "model") {
    try {
      CompressedFolder folder(folder_ / name);
    } catch (const Error& error) {
      return error.what();
    }
    return "opened";
  }

  // Rewrites model.safetensors with other tensors or metadata.
  void rewrite(
      const std::function<void(std::vector<SafetensorsDeclaration>&, std::map<std::string, std::string>&)>& change) {
    const auto path = folder_.path() / "model" / "model.safetensors";
    std::vector<SafetensorsDeclaration> declarations;
    std::map<std::string, std::string> metadata;
    {
      const SafetensorsFile file(path);
      metadata = file.metadata();
      for (const auto& entry : file.entries()) declarations.push_back({entry.name, entry.type, entry.shape});
    }
    change(declarations, metadata);
    SafetensorsWriter writer(path, declarations, metadata);
    for (const auto& declaration : declarations) {
      std::size_t bytes = bytes_per_element(declaration.type);
      for (const std::size_t n : declaration.shape) bytes *= n;
      writer.write(declaration.name, std::vector<std::byte>(bytes));
    }
    writer.finish();
  }

  testing::TemporaryFolder folder_;
  GroupedIntegerWeight attention_ = random_grouped(6, 40, 3, 1);
  GroupedIntegerWeight head_ = random_grouped(3, 5, 5, 2);
};

TEST_F(CompressedFolderTest, GivesBackEveryBit) {
  write();
  const CompressedFolder folder(folder_ / "model");
  ASSERT_EQ(folder.tensors().size(), 3u);
  EXPECT_EQ(folder.tensors()[0].name, "a.weight");
  EXPECT_EQ(folder.tensors()[2].shape, std::vector<std::size_t>({40}));
  EXPECT_EQ(folder.tensors()[2].stored_as, "f16");
  EXPECT_EQ(folder.info("a.weight").stored_bytes, payload_bytes(CompressedWeight(attention_)));
  for (const auto& [name, weight] : {std::pair{"a.weight", attention_}, std::pair{"b.weight", head_}}) {
    const auto& stored = std::get<GroupedIntegerView>(folder.weight(name));
    EXPECT_TRUE(static_cast<const GroupedIntegerLayout&>(stored) == static_cast<const GroupedIntegerLayout&>(weight));
    EXPECT_TRUE(std::equal(stored.codes.begin(), stored.codes.end(), weight.codes.begin(), weight.codes.end()));
    EXPECT_TRUE(std::equal(stored.scales.begin(), stored.scales.end(), weight.scales.begin(), weight.scales.end()));
    EXPECT_TRUE(std::equal(stored.zeros.begin(), stored.zeros.end(), weight.zeros.begin(), weight.zeros.end()));
    const Matrix decoded = decode(CompressedWeight(weight));
    const Matrix read = folder.read(name);
    EXPECT_TRUE(std::equal(read.span().begin(), read.span().end(), decoded.span().begin(), decoded.span().end()));
  }
  EXPECT_EQ(folder.read("norm.weight")(7, 0), 1.75f);
  EXPECT_EQ(folder.config()["hidden_size"], 40);
  EXPECT_EQ(folder.config()["quantization_config"]["quant_method"], "libcompress");
  EXPECT_EQ(folder.config()["quantization_config"]["bits_per_weight"], 3.5);
}

TEST_F(CompressedFolderTest, PayloadIsTheDataOfTheFile) {
  write();
  const CompressedFolder folder(folder_ / "model");
  const SafetensorsFile file(folder_ / "model" / "model.safetensors");
  std::uint64_t data = 0;
  for (const auto& entry : file.entries()) data += entry.bytes.size();
  EXPECT_EQ(folder.payload_bytes(), data);
  std::uint64_t stored = 0;
  for (const auto& tensor : folder.tensors()) stored += tensor.stored_bytes;
  EXPECT_EQ(stored, data);
  // 6 x 40 at 3 bits: 90 + 18 scales + 12 row scales + 18 zero points of 3 bits (7); 40 gains: 80;
  // 3 x 5 at 5 bits: 12 + 3 + 6 + 2.
  EXPECT_EQ(data, 90u + 18 + 12 + 7 + 80 + 12 + 3 + 6 + 2);
}

TEST_F(CompressedFolderTest, GivesBackEveryBitOfTables) {
  const std::vector<CompressedWeight> weights = table_weights();
  write_tables();
  const CompressedFolder folder(folder_ / "model");
  ASSERT_EQ(folder.tensors().size(), weights.size());
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const CompressedWeightView& stored = folder.weight(folder.tensors()[i].name);
    EXPECT_TRUE(layout(stored) == layout(weights[i]));
    const auto parts = to_parts(stored);
    const auto expected = to_parts(view(weights[i]));
    ASSERT_EQ(parts.size(), expected.size());
    for (std::size_t k = 0; k < parts.size(); ++k) {
      EXPECT_TRUE(
          std::equal(parts[k].data.begin(), parts[k].data.end(), expected[k].data.begin(), expected[k].data.end()))
          << parts[k].suffix;
      bytes += parts[k].data.size();
    }
    const Matrix decoded = decode(weights[i]);
    const Matrix read = folder.read(folder.tensors()[i].name);
    EXPECT_TRUE(std::equal(read.span().begin(), read.span().end(), decoded.span().begin(), decoded.span().end()));
  }
  EXPECT_EQ(folder.payload_bytes(), bytes);
}

TEST_F(CompressedFolderTest, TheOrderOfWritingDoesNotShow) {
  write("one");
  {
    CompressedFolderWriter writer(folder_ / "two", false);
    writer.add("norm.weight", {40}, CompressedWeight(gains(40)));
    writer.add("b.weight", {3, 5}, CompressedWeight(head_));
    writer.add("a.weight", {6, 40}, CompressedWeight(attention_));
    writer.finish(original_config, {{"bits_per_weight", 3.5}});
  }
  for (const char* file : {"model.safetensors", "config.json"}) {
    EXPECT_EQ(read_text_file(folder_ / "one" / file), read_text_file(folder_ / "two" / file));
  }
}

TEST_F(CompressedFolderTest, IsRecognised) {
  EXPECT_FALSE(is_compressed_folder(folder_ / "absent"));
  EXPECT_FALSE(is_compressed_folder(folder_.path()));
  write();
  EXPECT_TRUE(is_compressed_folder(folder_ / "model"));
  EXPECT_FALSE(is_compressed_folder(folder_ / "model" / "config.json"));
  const auto config = folder_.path() / "model" / "config.json";
  write_text_file(config, R"({"quantization_config": {"quant_method": "gptq"}})");
  EXPECT_FALSE(is_compressed_folder(folder_ / "model"));
  write_text_file(config, R"({"quantization_config": 3})");
  EXPECT_FALSE(is_compressed_folder(folder_ / "model"));
  write_text_file(config, "{");
  EXPECT_FALSE(is_compressed_folder(folder_ / "model"));
}

TEST_F(CompressedFolderTest, AnUnfinishedModelLeavesNothing) {
  {
    CompressedFolderWriter writer(folder_ / "model", false);
    writer.add("a.weight", {6, 40}, CompressedWeight(attention_));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(CompressedFolderTest, AFinishedModelHoldsNothingElse) {
  write();
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "model"))
    files.push_back(entry.path().filename());
  EXPECT_THAT(files, ::testing::UnorderedElementsAre("config.json", "model.safetensors"));
}

TEST_F(CompressedFolderTest, ReplacesOnlyWhenAsked) {
  write();
  EXPECT_THROW(write(), Error);
  EXPECT_NO_THROW(write("model", true));
}

TEST_F(CompressedFolderTest, CopiesTheTokenizer) {
  const auto source = folder_.path() / "source";
  std::filesystem::create_directory(source);
  write_text_file(source / "tokenizer.json", "{}");
  write_text_file(source / "model.safetensors", "x");
  CompressedFolderWriter writer(folder_ / "model", false);
  writer.add("a.weight", {6, 40}, CompressedWeight(attention_));
  writer.copy_companion_files(source);
  writer.finish(original_config);
  EXPECT_EQ(read_text_file(folder_ / "model" / "tokenizer.json"), "{}");
  EXPECT_NO_THROW(CompressedFolder(folder_ / "model"));
}

TEST_F(CompressedFolderTest, ActivationsAreStoredAndCounted) {
  ActivationQuantization activations;
  activations.setting.granularity = ActivationGranularity::tensor;
  activations.setting.range = ActivationRange::mse;
  activations.setting.symmetric = false;
  activations.inputs = {{"a.weight", {0.25f, 7}}, {"b.weight", {3, 255}}};
  std::uint64_t bytes = 0;
  {
    CompressedFolderWriter writer(folder_ / "model", false);
    writer.add("a.weight", {6, 40}, CompressedWeight(attention_));
    writer.add("b.weight", {3, 5}, CompressedWeight(head_));
    bytes = writer.payload_bytes();
    writer.set_activations(activations);
    EXPECT_EQ(writer.payload_bytes(), bytes + 2 * input_grid_bytes);
    writer.finish(original_config);
  }
  const CompressedFolder folder(folder_ / "model");
  ASSERT_TRUE(folder.activations());
  EXPECT_EQ(folder.activations()->setting, activations.setting);
  EXPECT_EQ(folder.activations()->inputs, activations.inputs);
  EXPECT_EQ(folder.payload_bytes(), bytes + 10);
  EXPECT_EQ(folder.info("a.weight").stored_bytes, payload_bytes(CompressedWeight(attention_)) + 5);
  const SafetensorsFile file(folder_ / "model" / "model.safetensors");
  EXPECT_EQ(file.entry("a.weight.input_scale").type, DataType::f32);
  EXPECT_EQ(file.entry("a.weight.input_zero").shape, std::vector<std::size_t>{1});
}

TEST_F(CompressedFolderTest, DynamicActivationsNeedNoBytes) {
  {
    CompressedFolderWriter writer(folder_ / "model", false);
    writer.add("b.weight", {3, 5}, CompressedWeight(head_));
    const std::uint64_t bytes = writer.payload_bytes();
    writer.set_activations({});
    EXPECT_EQ(writer.payload_bytes(), bytes);
    EXPECT_THROW(writer.set_activations({}), Error);
    writer.finish(original_config);
  }
  const CompressedFolder folder(folder_ / "model");
  ASSERT_TRUE(folder.activations());
  EXPECT_EQ(folder.activations()->setting, ActivationSetting());
  write("other");
  EXPECT_FALSE(CompressedFolder(folder_ / "other").activations());
}

TEST_F(CompressedFolderTest, GridsThatDontFitAreRefused) {
  ActivationQuantization activations;
  activations.inputs = {{"b.weight", {1, 128}}};
  CompressedFolderWriter writer(folder_ / "model", false);
  writer.add("b.weight", {3, 5}, CompressedWeight(head_));
  EXPECT_THROW(writer.set_activations(activations), Error) << "dynamic";
  activations.setting.granularity = ActivationGranularity::tensor;
  activations.setting.range = ActivationRange::minmax;
  for (const auto& [name, grid] : {std::pair{"c.weight", InputGrid{1, 128}}, std::pair{"b.weight", InputGrid{0, 128}},
                                   std::pair{"b.weight", InputGrid{1, 3}}}) {
    activations.inputs = {{name, grid}};
    CompressedFolderWriter other(folder_ / (std::string("model-") + name), true);
    other.add("b.weight", {3, 5}, CompressedWeight(head_));
    EXPECT_THROW(other.set_activations(activations), Error) << name;
  }
}

// A damaged file: a grid of zeros (rewrite() keeps the declarations and writes zeros), or none at all.
TEST_F(CompressedFolderTest, DamagedGridsAreRefused) {
  ActivationQuantization activations;
  activations.setting.granularity = ActivationGranularity::tensor;
  activations.setting.range = ActivationRange::minmax;
  activations.inputs = {{"b.weight", {1, 128}}};
  const auto write_with_grid = [&] {
    CompressedFolderWriter writer(folder_ / "model", true);
    writer.add("b.weight", {3, 5}, CompressedWeight(head_));
    writer.set_activations(activations);
    writer.finish(original_config);
  };
  write_with_grid();
  rewrite([](auto&, auto&) {});
  EXPECT_THAT(opening_fails(), HasSubstr("b.weight.input_scale"));
  write_with_grid();
  rewrite([](auto& declarations, auto&) {
    std::erase_if(declarations, [](const auto& d) { return d.name == "b.weight.input_zero"; });
  });
  EXPECT_THAT(opening_fails(), HasSubstr("b.weight.input_zero"));
  write_with_grid();
  rewrite([](auto&, auto& metadata) {
    auto json = nlohmann::json::parse(metadata.at("libcompress"));
    json.erase("activations");
    metadata["libcompress"] = json.dump();
  });
  EXPECT_THAT(opening_fails(), HasSubstr("grid"));
}

TEST_F(CompressedFolderTest, RefusesNamesAndShapesThatDontFit) {
  CompressedFolderWriter writer(folder_ / "model", false);
  writer.add("a", {6, 40}, CompressedWeight(attention_));
  EXPECT_THROW(writer.add("a", {6, 40}, CompressedWeight(attention_)), Error);
  EXPECT_THROW(writer.add("b", {40, 6}, CompressedWeight(attention_)), Error);
  EXPECT_THROW(writer.add("a.codes", {40}, CompressedWeight(gains(40))), Error);
  EXPECT_NO_THROW(writer.add("b", {6, 5, 8}, CompressedWeight(attention_)));
  writer.finish(original_config);
  EXPECT_THROW(writer.add("c", {6, 40}, CompressedWeight(attention_)), Error);
  EXPECT_EQ(CompressedFolder(folder_ / "model").info("b").shape, std::vector<std::size_t>({6, 5, 8}));
}

TEST_F(CompressedFolderTest, RefusesDamage) {
  write();
  rewrite(
      [](auto& tensors, auto&) { std::erase_if(tensors, [](const auto& t) { return t.name == "a.weight.zeros"; }); });
  EXPECT_THAT(opening_fails(), HasSubstr("a.weight.zeros"));
  write("model", true);
  rewrite([](auto& tensors, auto&) { tensors.push_back({"stranger", DataType::u8, {3}}); });
  EXPECT_THAT(opening_fails(), HasSubstr("stranger"));
  write("model", true);
  rewrite([](auto& tensors, auto&) { tensors[0].shape[1] += 1; });
  EXPECT_THAT(opening_fails(), HasSubstr(".codes"));
  write("model", true);
  rewrite([](auto&, auto& metadata) { metadata.erase("libcompress"); });
  EXPECT_THAT(opening_fails(), HasSubstr("metadata"));
  write("model", true);
  rewrite([](auto&, auto& metadata) { metadata["libcompress"] = "{"; });
  EXPECT_THAT(opening_fails(), HasSubstr("model.safetensors"));
  write("model", true);
  rewrite([](auto&, auto& metadata) { metadata["libcompress"] = R"({"format_version": 2, "tensors": {}})"; });
  EXPECT_THAT(opening_fails(), HasSubstr("version 2"));
  write("model", true);
  rewrite([](auto&, auto& metadata) {
    metadata["libcompress"] =
        R"({"format_version": 1, "tensors": {"a.weight": {"shape": [4294967296, 4294967296], "format": "dense", "type": "f16"}}})";
  });
  EXPECT_THAT(opening_fails(), HasSubstr("a.weight"));
  write("model", true);
  rewrite([](auto&, auto& metadata) {
    nlohmann::json json = nlohmann::json::parse(metadata["libcompress"]);
    json["tensors"]["a.weight"]["bits"] = 4;
    metadata["libcompress"] = json.dump();
  });
  EXPECT_THAT(opening_fails(), HasSubstr("a.weight.codes"));
  write("model", true);
  rewrite([](auto& tensors, auto&) {
    for (auto& tensor : tensors) {
      if (tensor.name == "norm.weight") tensor.shape = {8, 5};
    }
  });
  EXPECT_THAT(opening_fails(), HasSubstr("norm.weight"));
  write("model", true);
  const auto config = folder_.path() / "model" / "config.json";
  write_text_file(config, R"({"quantization_config": {"quant_method": "libcompress", "format_version": 7}})");
  EXPECT_THAT(opening_fails(), HasSubstr("version 7"));
}

// Opens the model with its header damaged in many ways; returns how often that was refused.
int refusals_of_damage(const std::filesystem::path& folder_path) {
  const auto path = folder_path / "model.safetensors";
  const std::string good = read_text_file(path);
  Rng rng(1);
  int refused = 0;
  for (int attempt = 0; attempt < 500; ++attempt) {
    std::string text = good;
    const std::size_t header = 8 + static_cast<std::size_t>(static_cast<unsigned char>(text[0])) +
                               256 * static_cast<std::size_t>(static_cast<unsigned char>(text[1]));
    // Digits mostly, so that the JSON stays readable and sizes and settings change.
    const std::size_t at = 8 + rng.below(header - 8);
    const bool digit = text[at] >= '0' && text[at] <= '9';
    text[at] = static_cast<char>(digit || rng.below(4) != 0 ? '0' + static_cast<int>(rng.below(10))
                                                            : static_cast<int>(rng.below(128)));
    std::ofstream(path, std::ios::binary) << text;
    try {
      const CompressedFolder folder(folder_path);
      for (const TensorInfo& tensor : folder.tensors()) folder.read(tensor.name);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("\n")));
      ++refused;
    }
  }
  return refused;
}

TEST_F(CompressedFolderTest, AnyDamageToTheHeaderIsRefusedOrHarmless) {
  write();
  EXPECT_GT(refusals_of_damage(folder_ / "model"), 300);
}

TEST_F(CompressedFolderTest, AnyDamageToTheHeaderOfTablesIsRefusedOrHarmless) {
  write_tables();
  EXPECT_GT(refusals_of_damage(folder_ / "model"), 300);
}

TEST_F(CompressedFolderTest, TensorsWithoutValuesAreKept) {
  Matrix none(0, 0);
  CompressedFolderWriter writer(folder_ / "model", false);
  writer.add("none", {0, 7}, CompressedWeight(encode_dense(none.view(), DenseType::f16, "none")));
  DenseWeight rows;
  rows.rows = 3;
  writer.add("rows", {3, 0}, CompressedWeight(rows));
  writer.finish(original_config);
  const CompressedFolder folder(folder_ / "model");
  EXPECT_EQ(folder.info("none").shape, std::vector<std::size_t>({0, 7}));
  EXPECT_EQ(decode(folder.weight("rows")).rows(), 3u);
  EXPECT_EQ(folder.payload_bytes(), 0u);
}

TEST_F(CompressedFolderTest, NamesWhatItCannotRead) {
  write();
  const CompressedFolder folder(folder_ / "model");
  std::vector<float> row(40);
  EXPECT_THROW(folder.read_rows("c.weight", 0, 1, row), Error);
  EXPECT_THROW(folder.weight("c.weight"), Error);
  EXPECT_THAT(testing::message([&] { folder.read_rows("a.weight", 6, 1, row); }), HasSubstr("a.weight"));
}

}  // namespace
}  // namespace lcomp
