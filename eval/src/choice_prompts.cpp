#include "lcomp/eval/choice_prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lcomp/core/error.h"
#include "lcomp/core/hash.h"
#include "lcomp/core/parallel.h"

namespace lcomp {
namespace {

constexpr std::size_t kGroupTokens = 16384;

std::size_t common_length(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end.first - a.begin());
}

// Tokens of context + continuation beyond as many as the context has.
std::vector<TokenId> continuation(const Tokenizer& tokenizer, const std::string& context, const std::string& text,
                                  std::size_t context_tokens, bool add_special) {
  const std::vector<TokenId> whole = tokenizer.encode(context + text, add_special);
  if (whole.size() <= context_tokens) return {};
  return {whole.begin() + static_cast<std::ptrdiff_t>(context_tokens), whole.end()};
}

// The tokens of each label after "Answer:", which do not depend on what stands before it.
class LabelTokens {
 public:
  explicit LabelTokens(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(const std::string& label) {
    if (tokens_.contains(label)) return;
    const std::string context = "Question\nAnswer:";
    const std::size_t before = tokenizer_.encode(context, false).size();
    tokens_[label] = continuation(tokenizer_, context, " " + label, before, false);
    if (tokens_[label].empty()) throw Error({"label " + label, "no token of its own", "at least one", ""});
  }
  const std::vector<TokenId>& of(const std::string& label) const { return tokens_.at(label); }

 private:
  const Tokenizer& tokenizer_;
  std::map<std::string, std::vector<TokenId>> tokens_;
};

ChoicePrompt continued(std::vector<TokenId> context, std::vector<TokenId> targets) {
  context.insert(context.end(), targets.begin(), targets.end() - 1);
  return {std::move(context), std::move(targets), false};
}

PreparedQuestion prepare(const ChoiceProtocol& protocol, const ChoiceSet& set, const ChoiceQuestion& question,
                         const Tokenizer& tokenizer, const LabelTokens& labels, std::size_t max_positions) {
  PreparedQuestion prepared{question, {}, false};
  const std::string text = choice_context(protocol, set, question);
  const std::vector<TokenId> context = tokenizer.encode(text, protocol.add_special);
  if (context.empty()) throw Error({question.id, "a prompt without tokens", "", ""});
  if (protocol.prompt == ChoiceProtocol::Prompt::letters) {
    ChoicePrompt alternatives{context, {}, true};
    bool single = true;
    for (const std::string& label : question.labels) {
      single = single && labels.of(label).size() == 1;
      alternatives.targets.push_back(labels.of(label).front());
    }
    if (single) {
      prepared.prompts.push_back(std::move(alternatives));
    } else {
      for (const std::string& label : question.labels) prepared.prompts.push_back(continued(context, labels.of(label)));
    }
  } else {
    for (const std::string& choice : question.choices) {
      std::vector<TokenId> targets = continuation(tokenizer, text, " " + choice, context.size(), protocol.add_special);
      if (targets.empty()) {
        throw Error({question.id, fmt::format("the choice \"{}\", which adds no token", choice.substr(0, 40)),
                     "a choice with text", ""});
      }
      prepared.prompts.push_back(continued(context, std::move(targets)));
    }
  }
  prepared.too_long = max_positions != 0 && prepared.tokens() > max_positions;
  return prepared;
}

std::string describe(const ChoiceTask& task, const Tokenizer& tokenizer) {
  const ChoiceProtocol& protocol = task.protocol;
  const std::size_t special = protocol.add_special ? tokenizer.encode("", true).size() : 0;
  std::string text = fmt::format("{}, {} questions, {}-shot, ", protocol.name(), task.questions.size(), protocol.shots);
  if (protocol.limit) text += fmt::format("sampled with seed {}, ", protocol.seed);
  text += protocol.prompt == ChoiceProtocol::Prompt::letters
              ? "label of the highest logit"
              : fmt::format("log-likelihood of the choice, normalized by {}",
                            protocol.to_json().at("normalize").get<std::string>());
  return text + (special == 0 ? ", no begin token" : ", begin token");
}

std::vector<std::size_t> cut_into_groups(const std::vector<PreparedQuestion>& questions) {
  std::vector<std::size_t> groups = {0};
  std::size_t tokens = 0;
  const std::vector<TokenId>* previous = nullptr;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    if (tokens >= kGroupTokens) {
      groups.push_back(q);
      tokens = 0;
      previous = nullptr;
    }
    if (questions[q].too_long) continue;
    for (const ChoicePrompt& prompt : questions[q].prompts) {
      tokens += prompt.ids.size() - (previous == nullptr ? 0 : common_length(*previous, prompt.ids));
      previous = &prompt.ids;
    }
  }
  groups.push_back(questions.size());
  return groups;
}

// Prompts [begin, end) and what they all begin with. The positions that are scored are nobody's prefix.
struct Run {
  std::size_t begin = 0, end = 0;
  std::size_t prefix = 0;
};

std::vector<Run> make_runs(const std::vector<const ChoicePrompt*>& prompts, const std::vector<std::size_t>& keys) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::size_t own = prompts[i]->ids.size() - prompts[i]->scored_positions();
    if (i == 0 || keys[i] != keys[i - 1]) {
      runs.push_back({i, i + 1, own});
    } else {
      Run& run = runs.back();
      run.end = i + 1;
      run.prefix = std::min({run.prefix, own, common_length(prompts[run.begin]->ids, prompts[i]->ids)});
    }
  }
  for (Run& run : runs) {
    if (run.end - run.begin == 1) run.prefix = 0;
  }
  return runs;
}

std::size_t saved_tokens(const std::vector<Run>& runs) {
  std::size_t saved = 0;
  for (const Run& run : runs) saved += run.prefix * (run.end - run.begin - 1);
  return saved;
}

}  // namespace

std::size_t PreparedQuestion::tokens() const {
  std::size_t longest = 0;
  for (const ChoicePrompt& prompt : prompts) longest = std::max(longest, prompt.ids.size());
  return longest;
}

ChoiceTask make_choice_task(const ChoiceProtocol& protocol, const Tokenizer& tokenizer, std::size_t max_positions,
                            const std::string& data) {
  const ChoiceSet set = read_choice_set(protocol, data);
  ChoiceTask task;
  task.protocol = protocol;
  LabelTokens labels(tokenizer);
  if (protocol.prompt == ChoiceProtocol::Prompt::letters) {
    for (const ChoiceQuestion& question : set.questions) {
      for (const std::string& label : question.labels) labels.add(label);
    }
  }
  task.questions.resize(set.questions.size());
  parallel_for(
      0, set.questions.size(),
      [&](std::size_t i) {
        task.questions[i] = prepare(protocol, set, set.questions[i], tokenizer, labels, max_positions);
      },
      16);
  task.groups = cut_into_groups(task.questions);
  task.description = describe(task, tokenizer);
  Hasher hasher;
  for (const PreparedQuestion& question : task.questions) {
    hasher.update(fmt::format("{} {} {}", question.question.id, question.question.answer, question.too_long));
    for (const ChoicePrompt& prompt : question.prompts) {
      hasher.update(fmt::format("{} {} {}", prompt.ids.size(), prompt.targets.size(), prompt.alternatives));
      hasher.update(std::as_bytes(std::span(prompt.ids)));
      hasher.update(std::as_bytes(std::span(prompt.targets)));
    }
  }
  hasher.update(protocol.to_json().value("normalize", ""));
  task.key = hasher.hex();
  return task;
}

PackedPrompts pack_prompts(const ChoiceTask& task, std::size_t begin, std::size_t end, const DecoderConfig& config,
                           bool share) {
  PackedPrompts packed;
  std::vector<std::size_t> by_subject, by_question;
  std::size_t subject = 0;
  for (std::size_t q = begin; q < end; ++q) {
    const PreparedQuestion& question = task.questions[q];
    if (q > begin && question.question.subject != task.questions[q - 1].question.subject) ++subject;
    if (question.too_long) continue;
    for (const ChoicePrompt& prompt : question.prompts) {
      packed.prompts.push_back(&prompt);
      by_subject.push_back(subject);
      by_question.push_back(q);
    }
  }
  std::vector<Run> runs = make_runs(packed.prompts, by_subject);
  std::vector<Run> alternative = make_runs(packed.prompts, by_question);
  if (saved_tokens(alternative) > saved_tokens(runs)) runs = std::move(alternative);
  for (const Run& run : runs) {
    const std::size_t length = share ? run.prefix : 0;
    std::size_t prefix = TokenBatch::no_prefix;
    for (std::size_t i = run.begin; i < run.end; ++i) {
      const std::span<const TokenId> ids = packed.prompts[i]->ids;
      if (length == 0 || !prefix_can_be_shared(config, length, ids.size())) {
        packed.batch.add(ids);
      } else {
        if (prefix == TokenBatch::no_prefix) {
          prefix = packed.batch.sequences();
          packed.batch.add(ids.first(length));
        }
        packed.batch.add_after(prefix, ids.subspan(length));
      }
      packed.last_rows.push_back(packed.batch.tokens() - 1);
    }
  }
  return packed;
}

}  // namespace lcomp
