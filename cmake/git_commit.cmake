# Writes git_commit.h with the git commit of SOURCE_DIR, or "unknown" where that is no repository of its own, as in an
# unpacked archive inside another project. Run at every build; touches the file only when it changes.
# cmake -DSOURCE_DIR=... -DOUTPUT=... -P git_commit.cmake
execute_process(COMMAND git rev-parse --show-cdup WORKING_DIRECTORY ${SOURCE_DIR}
                OUTPUT_VARIABLE way_up OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed AND "${way_up}" STREQUAL "")
  execute_process(COMMAND git describe --always --abbrev=12 --dirty=-modified --exclude=* WORKING_DIRECTORY ${SOURCE_DIR}
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit)
  set(commit "unknown")
endif()
set(text "#pragma once\n\n#define LCOMP_GIT_COMMIT \"${commit}\"\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
