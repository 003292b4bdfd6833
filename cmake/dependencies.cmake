# What the library is linked to. The build finds these packages, and so do, by what install.cmake writes, those who link
# the installed library.

# Arguments of find_package(); lcomp::openblas and lcomp::onednn are found by modules/.
set(LCOMP_PACKAGES "OpenMP COMPONENTS CXX" "nlohmann_json 3.11" fmt hwy OpenBLASOpenMP OneDNN)
# Modules of pkg-config, each as a target PkgConfig::LCOMP_<name>.
set(LCOMP_PKG_CONFIG_MODULES HDF5=hdf5-serial PCRE2=libpcre2-8 UTF8PROC=libutf8proc XXHASH=libxxhash ZSTD=libzstd)
# The names that pkg-config knows the packages above by, for libcompress.pc; the others are linked by their paths.
set(LCOMP_PACKAGES_PKG_CONFIG fmt libhwy)

# A project around this one links the library in its own folders, and so has to see these targets there.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
list(PREPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/modules)
foreach(package IN LISTS LCOMP_PACKAGES)
  separate_arguments(arguments UNIX_COMMAND ${package})
  find_package(${arguments} REQUIRED)
endforeach()
find_package(Eigen3 3.4 REQUIRED NO_MODULE)  # not for those who link the library
find_package(PkgConfig REQUIRED)
foreach(module IN LISTS LCOMP_PKG_CONFIG_MODULES)
  string(REPLACE "=" ";" module ${module})
  list(GET module 0 name)
  list(GET module 1 modules)
  pkg_check_modules(LCOMP_${name} REQUIRED IMPORTED_TARGET GLOBAL ${modules})
endforeach()
