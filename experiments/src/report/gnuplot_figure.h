#pragma once

#include <filesystem>
#include <string>

#include "report/figure.h"

namespace lcomp {

enum class PictureFormat { svg, png };

// Commands for gnuplot 5 that draw the figure into `file`, data included.
std::string gnuplot_script(const Figure& figure, PictureFormat format, const std::string& file);

// Whether a program `gnuplot` is to be found in PATH.
bool gnuplot_is_installed();

// Runs gnuplot on a script. Throws Error with the first line that it complains in.
void run_gnuplot(const std::string& script);

}  // namespace lcomp
