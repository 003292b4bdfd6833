# How the parts of the project become targets: one static library an area, linked only to the areas it may use, so that
# a dependency in the wrong direction fails to link.

add_library(lcomp_options INTERFACE)
target_compile_options(lcomp_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                               $<$<BOOL:${LCOMP_WARNINGS_AS_ERRORS}>:-Werror>)
if(LCOMP_SANITIZE)
  target_compile_options(lcomp_options INTERFACE -fsanitize=${LCOMP_SANITIZE} -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all)
  target_link_options(lcomp_options INTERFACE -fsanitize=${LCOMP_SANITIZE})
endif()
if(LCOMP_SANITIZE MATCHES "undefined")
  # Checks of single pointers take as long to compile as all others together. Targets that read other programs' bytes
  # (property LCOMP_POINTER_CHECKS) have them; AddressSanitizer finds null pointers in the others. The tests' own code
  # (LCOMP_TEST_CODE) is under AddressSanitizer alone.
  target_compile_options(lcomp_options INTERFACE
    "$<$<NOT:$<BOOL:$<TARGET_PROPERTY:LCOMP_POINTER_CHECKS>>>:-fno-sanitize=null,alignment,vptr,object-size,nonnull-attribute,returns-nonnull-attribute>"
    "$<$<BOOL:$<TARGET_PROPERTY:LCOMP_TEST_CODE>>:-fno-sanitize=undefined>")
endif()

# lcomp_unity(target): compiles the target's sources a dozen at a time, so that what they all include is parsed once for
# the dozen; but sources that Highway compiles once for every instruction set stay by themselves. A name in an unnamed
# namespace may then stand in one source of a target only.
function(lcomp_unity target)
  if(NOT LCOMP_UNITY_BUILD)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    file(STRINGS ${source} several_targets REGEX "foreach_target" LIMIT_COUNT 1)
    if(several_targets)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  # A source that another includes is taken for a header, which should have no unnamed namespace.
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
endfunction()

# lcomp_area(NAME SOURCE_DIR dir [INTERNAL_DIR dir] INCLUDE_DIR dir DEPENDS areas... LINK libraries...)
# A library target lcomp_NAME from every .cpp under SOURCE_DIR. Internal headers are included by their path under
# INTERNAL_DIR (SOURCE_DIR where it is left out); scripts/check_includes sees that no other area includes them.
function(lcomp_area name)
  cmake_parse_arguments(AREA "" "SOURCE_DIR;INTERNAL_DIR;INCLUDE_DIR" "DEPENDS;LINK" ${ARGN})
  if(NOT AREA_INTERNAL_DIR)
    set(AREA_INTERNAL_DIR ${AREA_SOURCE_DIR})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${AREA_SOURCE_DIR}/*.cpp ${AREA_SOURCE_DIR}/*/*.cpp)
  list(TRANSFORM AREA_DEPENDS PREPEND lcomp_)
  set_property(GLOBAL APPEND PROPERTY LCOMP_AREAS lcomp_${name})
  set_property(GLOBAL APPEND PROPERTY LCOMP_LINK ${AREA_LINK})
  set_property(GLOBAL APPEND PROPERTY LCOMP_INCLUDE_DIRS ${AREA_INCLUDE_DIR})
  if(NOT sources)
    add_library(lcomp_${name} INTERFACE)
    target_include_directories(lcomp_${name} INTERFACE ${AREA_INCLUDE_DIR})
    target_link_libraries(lcomp_${name} INTERFACE ${AREA_DEPENDS} ${AREA_LINK})
    return()
  endif()
  add_library(lcomp_${name} STATIC ${sources})
  target_include_directories(lcomp_${name} PUBLIC ${AREA_INCLUDE_DIR} PRIVATE ${AREA_INTERNAL_DIR})
  target_link_libraries(lcomp_${name} PUBLIC ${AREA_DEPENDS} ${AREA_LINK} PRIVATE lcomp_options)
  lcomp_unity(lcomp_${name})
endfunction()
