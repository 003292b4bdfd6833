# Writes build_version.h with the version and the git commit of SOURCE_DIR; run at every build, touches the file only when it changes.
# cmake -DSOURCE_DIR=... -DOUTPUT=... -DVERSION=... -P build_version.cmake
execute_process(COMMAND git describe --always --abbrev=12 --dirty=-modified --exclude=* WORKING_DIRECTORY ${SOURCE_DIR}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit "unknown")
endif()
set(text "#pragma once\n\n#define LCOMP_VERSION \"${VERSION}\"\n#define LCOMP_GIT_COMMIT \"${commit}\"\n")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
