# oneDNN as the target lcomp::onednn; without its own CMake package, which asks for the OpenCL development files that a
# build for CPUs does not use.
include(FindPackageHandleStandardArgs)
find_library(ONEDNN_LIBRARY NAMES dnnl)
find_path(ONEDNN_INCLUDE_DIR NAMES oneapi/dnnl/dnnl.hpp)
mark_as_advanced(ONEDNN_LIBRARY ONEDNN_INCLUDE_DIR)
find_package_handle_standard_args(OneDNN REQUIRED_VARS ONEDNN_LIBRARY ONEDNN_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "Debian has it in libdnnl-dev")

if(OneDNN_FOUND AND NOT TARGET lcomp::onednn)
  add_library(lcomp::onednn INTERFACE IMPORTED GLOBAL)
  target_include_directories(lcomp::onednn SYSTEM INTERFACE ${ONEDNN_INCLUDE_DIR})
  target_link_libraries(lcomp::onednn INTERFACE ${ONEDNN_LIBRARY})
endif()
