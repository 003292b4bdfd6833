#include "lcomp/pipeline/model_tokenizer.h"

#include <fmt/format.h>

#include "lcomp/core/error.h"

namespace lcomp {

std::unique_ptr<Tokenizer> load_model_tokenizer(const ModelFolder& model) {
  constexpr std::size_t kTolerated = 16;
  auto tokenizer = load_tokenizer(model.path);
  if (tokenizer->vocab_size() > model.config.vocab_size + kTolerated) {
    throw Error({model.path.string(), fmt::format("a tokenizer of {} tokens", tokenizer->vocab_size()),
                 fmt::format("at most {}, the rows of the embedding", model.config.vocab_size),
                 "the tokenizer belongs to another model"});
  }
  return tokenizer;
}

}  // namespace lcomp
