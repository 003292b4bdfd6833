# The library inside another project: it takes nothing but the library along, and neither project's flags reach the other.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(REMOVE_RECURSE ${WORK_DIR})
run("configure" COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${CMAKE_CURRENT_LIST_DIR}/subproject -B ${WORK_DIR}
                        -DLCOMP_SOURCE_DIR=${SOURCE_DIR} -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_BUILD_TYPE=Release
                        -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)

# What a file of each project is compiled with.
file(READ ${WORK_DIR}/compile_commands.json commands)
string(JSON count LENGTH "${commands}")
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  string(JSON file GET "${commands}" ${i} file)
  string(JSON command GET "${commands}" ${i} command)
  if(file MATCHES "subproject/main.cpp$")
    set(outer "${command}")
  elseif(command MATCHES "lcomp_version.dir")
    set(inner "${command}")
  elseif(command MATCHES "/(test_[a-z]*|bench_[a-z]*|lcomp_commands).dir")
    message(FATAL_ERROR "${file} is compiled as part of another project")
  endif()
endforeach()
function(expect command pattern expected)
  set(found FALSE)
  if(command MATCHES "${pattern}")
    set(found TRUE)
  endif()
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "\"${pattern}\" is ${found}, expected ${expected}, in: ${command}")
  endif()
endfunction()
expect("${outer}" "-O3 -DNDEBUG" TRUE)
expect("${outer}" "-std=gnu[+][+]17|-std=c[+][+]17" FALSE)  # what the headers need
expect("${outer}" "-W[a-z]" FALSE)
expect("${inner}" "-O2" TRUE)
expect("${inner}" "NDEBUG|-Werror|ccache" FALSE)

run("build" COMMAND ${CMAKE_COMMAND} --build ${WORK_DIR} --target lcomp_version)
file(REMOVE_RECURSE ${WORK_DIR})
