#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <sstream>

#include "commands/command_context.h"
#include "lcomp/core/error.h"
#include "lcomp/io/atomic_file.h"
#include "lcomp/tokenizer/tokenizer.h"

namespace lcomp {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  bool special = false;
  bool decode = false;
};

// Token ids written as decimal numbers, separated by spaces, commas or brackets.
std::vector<TokenId> parse_ids(const std::string& text, const std::string& where) {
  std::string numbers = text;
  for (char& c : numbers) {
    if (c == ',' || c == '[' || c == ']') c = ' ';
  }
  std::istringstream stream(numbers);
  std::vector<TokenId> ids;
  std::string word;
  while (stream >> word) {
    std::size_t used = 0;
    TokenId id = -1;
    try {
      id = std::stoi(word, &used);
    } catch (const std::logic_error&) {
      used = 0;
    }
    if (used != word.size() || id < 0)
      throw Error({where, fmt::format("\"{}\"", word), "token ids: numbers from 0 on", ""});
    ids.push_back(id);
  }
  return ids;
}

void run(const TokenizeOptions& options, const CommandContext& context) {
  const auto tokenizer = load_tokenizer(options.model);
  const std::string input = options.file.empty() ? options.text : read_text_file(options.file);
  if (options.decode) {
    const auto ids = parse_ids(input, options.file.empty() ? "--text" : options.file);
    const std::string text = tokenizer->decode(ids);
    context.print({{"ids", ids}, {"text", text}}, text + "\n");
    return;
  }
  const auto ids = tokenizer->encode(input, options.special);
  std::vector<std::string> tokens;
  if (context.json) {
    for (const TokenId id : ids) tokens.push_back(tokenizer->id_to_token(id).value_or(""));
  }
  context.print({{"text", input}, {"ids", ids}, {"tokens", tokens}, {"count", ids.size()}},
                fmt::format("{}\n", fmt::join(ids, " ")));
}

}  // namespace

void add_tokenize_command(CommandLine& line, CommandContext& context) {
  const auto options = std::make_shared<TokenizeOptions>();
  Command& command = add_command(line, context, "tokenize", "Turn text into token ids, or ids back into text",
                                 {"lcomp tokenize models/smollm2 --text \"Hello world\"",
                                  "lcomp tokenize tokenizer.json --file text.txt --special --json",
                                  "lcomp tokenize models/smollm2 --decode --text \"19556 905\""});
  command.argument("MODEL", options->model, "model folder, GGUF file, tokenizer.json or tokenizer.model");
  command.option("--text TEXT", options->text, "the text (with --decode: ids)");
  command.option("--file FILE", options->file, "a file with the text (with --decode: ids)");
  command.exactly_one({"--text", "--file"}, "the input");
  command.flag("--special", options->special, "add the tokens that the tokenizer puts around a text");
  command.flag("--decode", options->decode, "the input is token ids; print their text");
  command.action([options, &context] { run(*options, context); });
}

}  // namespace lcomp
