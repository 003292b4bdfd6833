#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "commands/command_help.h"
#include "commands/command_line.h"
#include "commands/program.h"
#include "lcomp/core/error.h"

namespace lcomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::vector<std::string>;

enum class Shade { light, dark };

// A member of every type that an option can be bound to.
struct Members {
  std::string input, text = "plain", choice;
  std::int32_t small = -3;
  std::optional<std::int64_t> whole;
  std::size_t count = 4;
  float factor = 0.5F;
  std::optional<double> share;
  std::uint64_t bytes = 1024;
  bool quick = false;
  Shade shade = Shade::dark;
  std::optional<Shade> second_shade;
  Words names;
  std::vector<double> ratios;
  std::vector<std::uint64_t> sizes;
};

class CommandLineOptions : public ::testing::Test {
 protected:
  CommandLineOptions() : line_("paint", "Paints.", "paint 1.2") {
    Command& wall = line_.add_command("wall", "Paint a wall", {"paint wall north --out \"a b\""});
    wall.argument("WALL", members_.input, "which wall");
    wall.option("--text TEXT", members_.text, "a text");
    wall.option("--choice", members_.choice, "one of two").one_of({"brush", "roller"}).default_is("brush");
    wall.option("--small N", members_.small, "a small number");
    wall.option("--whole N", members_.whole, "a whole number").at_least(-5).default_is("none");
    wall.option("--count N", members_.count, "how many").between(1, 100);
    wall.option("--factor X", members_.factor, "a factor").above(0);
    wall.option("--share X", members_.share, "a share").between(0, 1);
    wall.option("--bytes SIZE", members_.bytes, "memory").in_bytes();
    wall.flag("--quick", members_.quick, "be quick");
    wall.choice("--shade", members_.shade, {{"light", Shade::light}, {"dark", Shade::dark}}, "the shade");
    wall.choice("--second-shade", members_.second_shade, {{"light", Shade::light}, {"dark", Shade::dark}}, "behind it")
        .needs("--shade");
    wall.option("--name NAME", members_.names, "a name");
    wall.option("--ratio X", members_.ratios, "a ratio").above(0).separated_by(',');
    wall.option("--size N", members_.sizes, "a size").in_bytes().separated_by(',');
    wall.at_most_one({"--ratio", "--size"}, "how large");
    wall.action([this] { ran_ = "wall"; });

    Command& fence = line_.add_command("fence", "Paint fences", {});
    fence.argument("FENCE", members_.names, "fences");
    fence.option("--out FOLDER", members_.input, "where to").required();
    fence.option("--text TEXT", members_.text, "a text");
    fence.flag("--quick", members_.quick, "be quick");
    fence.exactly_one({"--text", "--quick"}, "the manner");
    fence.action([this] { ran_ = "fence"; });
  }

  void parse(const Words& words) { line_.parse(words, 100).command->run(); }
  void wall(Words words) {
    words.insert(words.begin(), {"wall", "north"});
    parse(words);
  }

  // The text of the error; empty: there was none.
  std::string mistake(const Words& words) {
    try {
      line_.parse(words, 100);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::user);
      return error.what();
    }
    return "";
  }
  std::string wall_mistake(Words words) {
    words.insert(words.begin(), {"wall", "north"});
    return mistake(words);
  }

  Members members_;
  CommandLine line_;
  std::string ran_;
};

TEST_F(CommandLineOptions, MembersKeepTheirValueUnlessGiven) {
  parse({"wall", "north"});
  EXPECT_EQ(ran_, "wall");
  EXPECT_EQ(members_.input, "north");
  EXPECT_EQ(members_.text, "plain");
  EXPECT_EQ(members_.small, -3);
  EXPECT_FALSE(members_.whole || members_.share || members_.second_shade || members_.quick);
  EXPECT_EQ(members_.shade, Shade::dark);
  EXPECT_THAT(members_.names, IsEmpty());
}

TEST_F(CommandLineOptions, EveryTypeOfMemberIsRead) {
  wall({"--text", "two words", "--choice=roller", "--small", "-7", "--whole", "-5", "--count", "100", "--factor=.25",
        "--share", "1e-1", "--bytes", "3KiB", "--quick", "--shade", "light", "--second-shade=dark"});
  EXPECT_EQ(members_.text, "two words");
  EXPECT_EQ(members_.choice, "roller");
  EXPECT_EQ(members_.small, -7);
  EXPECT_EQ(members_.whole, -5);
  EXPECT_EQ(members_.count, 100U);
  EXPECT_EQ(members_.factor, 0.25F);
  EXPECT_EQ(members_.share, 0.1);
  EXPECT_EQ(members_.bytes, 3072U);
  EXPECT_TRUE(members_.quick);
  EXPECT_EQ(members_.shade, Shade::light);
  EXPECT_EQ(members_.second_shade, Shade::dark);
}

TEST_F(CommandLineOptions, SizesHaveUnits) {
  const std::pair<const char*, std::uint64_t> sizes[] = {
      {"0", 0},        {"7B", 7},           {"2k", 2048},      {"2KB", 2048},
      {"2 kib", 2048}, {"512MiB", 1 << 29}, {"1GiB", 1 << 30}, {"1ti", std::uint64_t{1} << 40}};
  for (const auto& [text, bytes] : sizes) {
    wall({"--bytes", text});
    EXPECT_EQ(members_.bytes, bytes) << text;
  }
  for (const char* text : {"", "GiB", "1.5GiB", "-2", "2x", "2kbb", "1 2"}) {
    EXPECT_THAT(wall_mistake({"--bytes", text}), HasSubstr("expected bytes, such as")) << text;
  }
  EXPECT_THAT(wall_mistake({"--bytes", "99999999999GiB"}), HasSubstr("at most 18446744073709551615"));
}

TEST_F(CommandLineOptions, SeveralValuesAreRepeatedOrInARow) {
  wall({"--name", "a", "--quick", "--name", "b,c", "d", "--ratio", "3,5", "7"});
  EXPECT_THAT(members_.names, ElementsAre("a", "b,c", "d"));
  EXPECT_THAT(members_.ratios, ElementsAre(3, 5, 7));
  parse({"wall", "--size", "1KiB,2", "north"});  // the last word is the argument that lacks
  EXPECT_THAT(members_.sizes, ElementsAre(1024U, 2U));
  EXPECT_EQ(members_.input, "north");
  parse({"wall", "--name", "a", "b", "south", "--quick"});
  EXPECT_THAT(members_.names, ElementsAre("a", "b"));
  EXPECT_EQ(members_.input, "south");
  EXPECT_THAT(wall_mistake({"--ratio", "3,,5"}), HasSubstr("--ratio: found an empty value; expected a number, more"));
}

TEST_F(CommandLineOptions, ArgumentsStandAnywhere) {
  parse({"fence", "a", "--quick", "b", "--out", "o", "--", "--quick", "-5"});
  EXPECT_EQ(ran_, "fence");
  EXPECT_THAT(members_.names, ElementsAre("a", "b", "--quick", "-5"));
  EXPECT_EQ(members_.input, "o");
  parse({"wall", "--name", "a", "--", "b"});  // behind -- a word is no value
  EXPECT_EQ(members_.input, "b");
  EXPECT_THAT(mistake({"wall", "a", "b"}),
              "b: one argument too many; expected paint wall WALL [OPTIONS]; see paint wall --help");
  EXPECT_THAT(mistake({"wall", "a", "-5"}), HasSubstr("-5: one argument too many"));
  EXPECT_THAT(mistake({"wall"}), "WALL: missing; expected which wall; see paint wall --help");
  EXPECT_THAT(mistake({"wall", ""}), "WALL: found an empty value; expected which wall");
}

TEST_F(CommandLineOptions, DashesInValues) {
  wall({"--text", "-x"});
  EXPECT_EQ(members_.text, "-x");
  wall({"--text", "--unknown"});
  EXPECT_EQ(members_.text, "--unknown");
  wall({"--text=--quick"});
  EXPECT_EQ(members_.text, "--quick");
  wall({"--text="});
  EXPECT_EQ(members_.text, "");
  wall({"--text", "a=b"});
  EXPECT_EQ(members_.text, "a=b");
  EXPECT_EQ(wall_mistake({"--text", "--quick"}),
            "--text: no value before --quick; expected TEXT: a text; if that is the value, write --text=--quick");
}

TEST_F(CommandLineOptions, UnknownOptions) {
  EXPECT_EQ(wall_mistake({"--quik"}), "--quik: no option of paint wall; did you mean --quick? see paint wall --help");
  EXPECT_EQ(wall_mistake({"--zzz=3"}), "--zzz: no option of paint wall; see paint wall --help");
  EXPECT_THAT(wall_mistake({"--fact", "3"}), HasSubstr("did you mean --factor?"));  // an abbreviation is none
  EXPECT_THAT(wall_mistake({"--WALL", "a"}), HasSubstr("no option of"));
  EXPECT_THAT(wall_mistake({"--=3"}), HasSubstr("no option of"));
  EXPECT_THAT(wall_mistake({"-x"}), HasSubstr("-x: no option of"));
  EXPECT_THAT(wall_mistake({"--out", "o"}), HasSubstr("no option of"));  // of another command
}

TEST_F(CommandLineOptions, MissingAndSuperfluousValues) {
  EXPECT_EQ(wall_mistake({"--count"}), "--count: no value; expected an integer, 1 to 100; see paint wall --help");
  EXPECT_EQ(wall_mistake({"--choice"}), "--choice: no value; expected one of brush, roller; see paint wall --help");
  EXPECT_EQ(wall_mistake({"--count="}), "--count: found an empty value; expected an integer, 1 to 100");
  EXPECT_EQ(wall_mistake({"--quick=3"}), "--quick: found a value; expected no value; see paint wall --help");
  EXPECT_EQ(wall_mistake({"--count", "1", "--count=2"}), "--count: given twice, \"1\" and \"2\"; expected one value");
  EXPECT_EQ(wall_mistake({"--quick", "--quick"}), "");
}

TEST_F(CommandLineOptions, ValuesOfAnotherKindOrOutOfRange) {
  EXPECT_EQ(wall_mistake({"--count", "abc"}), "--count: found \"abc\"; expected an integer, 1 to 100");
  for (const char* text : {"0", "101", "-1", "3.5", "1e1", "0x5", " 3", "3 ", "99999999999999999999999"}) {
    EXPECT_THAT(wall_mistake({"--count", text}), HasSubstr("expected an integer, 1 to 100")) << text;
  }
  EXPECT_THAT(wall_mistake({"--small", "2147483648"}), HasSubstr("an integer, -2147483648 to 2147483647"));
  EXPECT_THAT(wall_mistake({"--whole", "-6"}), HasSubstr("an integer, at least -5"));
  for (const char* text : {"0", "-1", "nan", "inf", "1e400", "x", "1x", ""}) {
    EXPECT_THAT(wall_mistake({"--factor", text}), HasSubstr("expected a number, more than 0")) << text;
  }
  EXPECT_THAT(wall_mistake({"--share", "1.01"}), HasSubstr("a number, 0 to 1"));
  EXPECT_EQ(wall_mistake({"--choice", "rollr"}),
            "--choice: found \"rollr\"; expected one of brush, roller; did you mean roller?");
  EXPECT_EQ(wall_mistake({"--shade", "Light"}),
            "--shade: found \"Light\"; expected one of light, dark; did you mean light?");
  EXPECT_EQ(wall_mistake({"--text", "a\nb", "--count", "a\nb"}),
            "--count: found \"a\\nb\"; expected an integer, 1 to 100");  // one line
}

TEST_F(CommandLineOptions, GroupsAndNeeds) {
  EXPECT_EQ(wall_mistake({"--ratio", "3", "--size", "4"}),
            "--ratio, --size: more than one; expected at most one of --ratio, --size; see paint wall --help");
  EXPECT_EQ(mistake({"fence", "a", "--out", "o"}),
            "--text, --quick: none of them; expected exactly one of --text, --quick; see paint fence --help");
  EXPECT_THAT(mistake({"fence", "a", "--out", "o", "--text", "b", "--quick"}), HasSubstr("more than one"));
  EXPECT_EQ(mistake({"fence", "a", "--quick"}), "--out: missing; expected FOLDER: where to; see paint fence --help");
  EXPECT_EQ(mistake({"fence", "a", "--quick", "--out", ""}), "--out: found an empty value; expected FOLDER: where to");
  EXPECT_THAT(wall_mistake({"--second-shade", "dark"}), HasSubstr("--second-shade: given without --shade"));
}

TEST_F(CommandLineOptions, WhatWasGivenIsKnown) {
  const CommandLineRequest request = line_.parse({"wall", "north", "--ratio=3", "--quick"}, 100);
  EXPECT_TRUE(request.command->given("--ratio") && request.command->given("--quick"));
  EXPECT_TRUE(request.command->given("WALL"));
  EXPECT_FALSE(request.command->given("--text") || request.command->given("--size"));
}

TEST_F(CommandLineOptions, SubcommandsHelpAndVersion) {
  EXPECT_EQ(mistake({}), "command line: no subcommand; expected one of wall, fence; see paint --help");
  EXPECT_EQ(mistake({"walls"}),
            "walls: no command of this name; expected one of wall, fence; did you mean wall? see paint --help");
  EXPECT_THAT(mistake({"--quick", "wall"}), HasSubstr("--quick: an option before the subcommand"));
  EXPECT_EQ(line_.parse({"--version"}, 100).text, "paint 1.2\n");
  EXPECT_THAT(line_.parse({"--help"}, 100).text, HasSubstr("  wall        Paint a wall\n"));
  const std::string help = line_.parse({"wall", "--help"}, 100).text;
  EXPECT_EQ(line_.parse({"wall", "--whole", "x", "-h", "--nonsense"}, 100).text, help);  // help goes before mistakes
  EXPECT_EQ(line_.parse({"-h", "wall"}, 100).text, help);
  EXPECT_THAT(mistake({"wall", "north", "--", "--help"}), HasSubstr("--help: one argument too many"));
}

TEST_F(CommandLineOptions, HelpTellsEachDeclaration) {
  EXPECT_EQ(line_.parse({"wall", "--help"}, 60).text, R"(Paint a wall
Usage: paint wall WALL [OPTIONS]

Arguments:
  WALL                       which wall

Options:
  --text TEXT                a text (default: plain)
  --choice brush|roller      one of two (default: brush)
  --small N                  a small number (default: -3)
  --whole N                  a whole number (at least -5;
                             default: none)
  --count N                  how many (1 to 100; default: 4)
  --factor X                 a factor (more than 0; default:
                             0.5)
  --share X                  a share (0 to 1)
  --bytes SIZE               memory (default: 1024)
  --quick                    be quick
  --shade light|dark         the shade (default: dark)
  --second-shade light|dark  behind it (needs --shade)
  --name NAME ...            a name

How large (at most one):
  --ratio X,...              a ratio (more than 0)
  --size N,...               a size

Options of every command:
  --help                     show this; also -h

Examples:
  paint wall north --out "a b"
)");
  EXPECT_THAT(line_.parse({"fence", "--help"}, 100).text,
              HasSubstr("Usage: paint fence FENCE ... --out FOLDER (--text TEXT | --quick) [OPTIONS]\n"));
}

TEST(DeclaredCommands, AreCompleteAndTheirExamplesUseThem) {
  const std::vector<CommandDeclaration> commands = declared_commands();
  ASSERT_EQ(commands.size(), 15U);
  for (const CommandDeclaration& command : commands) {
    for (const char* option : {"--help", "--json", "--quiet", "--threads"}) EXPECT_NE(command.find(option), nullptr);
    for (const OptionDeclaration& option : command.options) {
      EXPECT_FALSE(option.help.empty()) << command.name << " " << option.name;
      EXPECT_TRUE(option.kind == OptionKind::flag || option.is_argument() || !option.shown_value().empty())
          << command.name << " " << option.name;
      EXPECT_TRUE(option.needs.empty() || command.find(option.needs) != nullptr);
    }
    for (const OptionGroup& group : command.groups) {
      for (const std::string& name : group.names) EXPECT_NE(command.find(name), nullptr) << name;
    }
    EXPECT_FALSE(command.examples.empty()) << command.name;
    for (const std::string& example : command.examples) {
      std::istringstream words(example);
      std::string program, name, word;
      words >> program >> name;
      EXPECT_EQ(program, "lcomp");
      const auto used = std::find_if(commands.begin(), commands.end(), [&](const auto& c) { return c.name == name; });
      ASSERT_NE(used, commands.end()) << example;
      while (words >> word) {
        EXPECT_TRUE(!word.starts_with("--") || used->find(word) != nullptr) << example << ": " << word;
      }
    }
  }
}

TEST(DeclaredCommands, HelpFitsItsWidth) {
  for (const CommandDeclaration& command : declared_commands()) {
    std::istringstream lines(help_text("lcomp", command, 100));
    std::string line;
    while (std::getline(lines, line)) EXPECT_LE(line.size(), 100U) << line;
  }
}

}  // namespace
}  // namespace lcomp
