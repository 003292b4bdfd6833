# The OpenMP build of OpenBLAS, with LAPACKE, as the target lcomp::openblas. With OpenBLAS's pthreads build, its threads
# and those of the library's loops would compete for the same cores.
include(FindPackageHandleStandardArgs)
set(openblas_places openblas-openmp x86_64-linux-gnu/openblas-openmp aarch64-linux-gnu/openblas-openmp)
find_library(OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES ${openblas_places})
find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h PATH_SUFFIXES ${openblas_places})
find_library(LAPACKE_LIBRARY NAMES lapacke)
mark_as_advanced(OPENBLAS_LIBRARY OPENBLAS_INCLUDE_DIR LAPACKE_LIBRARY)
find_package_handle_standard_args(OpenBLASOpenMP
  REQUIRED_VARS OPENBLAS_LIBRARY OPENBLAS_INCLUDE_DIR LAPACKE_LIBRARY
  REASON_FAILURE_MESSAGE "Debian has it in libopenblas-openmp-dev and liblapacke-dev")

if(OpenBLASOpenMP_FOUND AND NOT TARGET lcomp::openblas)
  get_filename_component(openblas_dir ${OPENBLAS_LIBRARY} DIRECTORY)
  add_library(lcomp::openblas INTERFACE IMPORTED GLOBAL)
  target_include_directories(lcomp::openblas SYSTEM INTERFACE ${OPENBLAS_INCLUDE_DIR})
  target_link_libraries(lcomp::openblas INTERFACE ${LAPACKE_LIBRARY} ${OPENBLAS_LIBRARY})
  # At run time too it has to be this build, not the one that the system takes by default.
  target_link_options(lcomp::openblas INTERFACE -Wl,-rpath,${openblas_dir})
endif()
