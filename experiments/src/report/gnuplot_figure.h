#pragma once

#include <filesystem>
#include <string>

#include "report/figure.h"

namespace lcomp {

enum class PictureFormat { svg, png };

// A complete gnuplot 5 script, data included, that draws `figure` into `file`.
std::string gnuplot_script(const Figure& figure, PictureFormat format, const std::string& file);

// Whether PATH holds a program `gnuplot`.
bool gnuplot_is_installed();

// Runs gnuplot on `script`. Throws Error with the first line of gnuplot's error message.
void run_gnuplot(const std::string& script);

}  // namespace lcomp
