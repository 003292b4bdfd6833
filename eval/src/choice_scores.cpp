#include "lcomp/eval/choice_scores.h"

#include <algorithm>
#include <cmath>

#include "lcomp/core/error.h"
#include "lcomp/core/parallel.h"
#include "lcomp/eval/token_metrics.h"
#include "lcomp/forward/logit_chunks.h"

namespace lcomp {
namespace {

constexpr std::size_t kRowsAtOnce = 128;  // logits of so many positions are in memory

// The scores of each prompt: logits of its alternatives, or the sum of its targets' log-likelihoods.
std::vector<std::vector<double>> prompt_scores(Decoder& model, const PackedPrompts& packed, ConstMatrixView normed) {
  struct Position {
    std::size_t prompt, target;
  };
  std::vector<Position> positions;
  std::vector<std::size_t> rows;  // of the states, one a position
  for (std::size_t p = 0; p < packed.prompts.size(); ++p) {
    const std::size_t count = packed.prompts[p]->scored_positions();
    for (std::size_t t = 0; t < count; ++t) {
      positions.push_back({p, t});
      rows.push_back(packed.last_rows[p] + 1 - count + t);
    }
  }
  std::vector<std::vector<double>> alternatives(positions.size());
  std::vector<double> likelihoods(positions.size());
  for_each_logits(model, normed, rows, kRowsAtOnce, [&](std::size_t first, ConstMatrixView logits) {
    parallel_for(0, logits.rows(), [&](std::size_t i) {
      const ChoicePrompt& prompt = *packed.prompts[positions[first + i].prompt];
      const auto row = logits.row(i);
      if (prompt.alternatives) {
        for (const TokenId id : prompt.targets) alternatives[first + i].push_back(row[static_cast<std::size_t>(id)]);
      } else {
        const TokenId target = prompt.targets[positions[first + i].target];
        likelihoods[first + i] = -negative_log_likelihood(row, static_cast<std::size_t>(target));
      }
    });
  });
  std::vector<std::vector<double>> scores(packed.prompts.size());
  for (std::size_t i = 0; i < positions.size(); ++i) {
    std::vector<double>& of_prompt = scores[positions[i].prompt];
    if (packed.prompts[positions[i].prompt]->alternatives) {
      of_prompt = std::move(alternatives[i]);
    } else if (of_prompt.empty()) {
      of_prompt = {likelihoods[i]};
    } else {
      of_prompt[0] += likelihoods[i];
    }
  }
  return scores;
}

ChoiceAnswer answer_of(const ChoiceTask& task, const PreparedQuestion& prepared,
                       std::span<const std::vector<double>> scores) {
  const ChoiceQuestion& question = prepared.question;
  ChoiceAnswer answer;
  answer.id = question.id;
  answer.subject = question.subject;
  answer.category = question.category;
  answer.answer = question.answer;
  answer.too_long = prepared.too_long;
  if (answer.too_long) return answer;
  for (const auto& of_prompt : scores) answer.scores.insert(answer.scores.end(), of_prompt.begin(), of_prompt.end());
  for (const double score : answer.scores) {
    if (std::isfinite(score)) continue;
    throw Error({question.id, "logits that are not finite", "finite logits",
                 "the model's weights or their compression are broken"});
  }
  if (task.protocol.prompt == ChoiceProtocol::Prompt::cloze) {
    for (std::size_t i = 0; i < question.choices.size(); ++i) {
      answer.tokens.push_back(prepared.prompts[i].targets.size());
      answer.bytes.push_back(question.choices[i].size());
    }
  }
  answer.prediction = predict(answer, task.protocol.normalization);
  return answer;
}

void check_targets(const ChoiceTask& task, const DecoderConfig& config) {
  for (const PreparedQuestion& question : task.questions) {
    for (const ChoicePrompt& prompt : question.prompts) {
      for (const TokenId id : prompt.targets) {
        if (id >= 0 && static_cast<std::size_t>(id) < config.vocab_size) continue;
        throw Error({question.question.id, "a choice with a token outside the vocabulary", "the model's own tokenizer",
                     "check that the tokenizer belongs to the model"});
      }
    }
  }
}

}  // namespace

void score_choices(Decoder& model, const ChoiceTask& task, const ChoiceScoreOptions& options) {
  check_targets(task, model.config());
  const std::size_t groups = task.groups.size() - 1;
  std::uint64_t steps = 0;
  std::vector<std::size_t> tokens(groups);
  const auto pack = [&](std::size_t g) {
    return pack_prompts(task, task.groups[g], task.groups[g + 1], model.config(), options.share);
  };
  for (std::size_t g = options.first_group; g < groups; ++g) {
    tokens[g] = pack(g).batch.tokens();
    steps += tokens[g] * model.config().num_layers();
  }
  Progress progress(options.forward.progress, options.forward.progress_label, steps);
  for (std::size_t g = options.first_group; g < groups; ++g) {
    const PackedPrompts packed = pack(g);
    std::vector<std::vector<double>> scores;
    if (!packed.prompts.empty()) {
      ForwardOptions forward = options.forward;
      std::uint64_t done = 0;
      forward.progress = [&](const ProgressEvent& event) {
        for (; done < event.done; ++done) progress.advance(tokens[g]);
      };
      scores = prompt_scores(model, packed, model.forward(packed.batch, forward).view());
    }
    std::vector<ChoiceAnswer> answers;
    std::size_t at = 0;
    for (std::size_t q = task.groups[g]; q < task.groups[g + 1]; ++q) {
      const PreparedQuestion& question = task.questions[q];
      const std::size_t count = question.too_long ? 0 : question.prompts.size();
      answers.push_back(answer_of(task, question, std::span(scores).subspan(at, count)));
      at += count;
    }
    if (options.on_group) options.on_group(answers);
  }
}

std::vector<ChoiceAnswer> answer_choices(Decoder& model, const ChoiceTask& task, const ChoiceScoreOptions& options) {
  std::vector<ChoiceAnswer> answers;
  ChoiceScoreOptions score = options;
  score.on_group = [&](std::span<const ChoiceAnswer> group) {
    if (options.on_group) options.on_group(group);
    answers.insert(answers.end(), group.begin(), group.end());
  };
  score_choices(model, task, score);
  return answers;
}

}  // namespace lcomp
