# What `cmake --install` puts under a prefix: the library, its public headers, a CMake package, a file for pkg-config, the
# program where it was built, documents and examples. All of it may be moved to another place afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(include_dirs GLOBAL PROPERTY LCOMP_LIBRARY_INCLUDE_DIRS)
foreach(include_dir IN LISTS include_dirs)
  install(DIRECTORY ${include_dir}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h"
          PATTERN eigen_view.h EXCLUDE)  # for our sources, which have Eigen
endforeach()
install(TARGETS lcomp_library EXPORT libcompress-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET lcomp)
  set_target_properties(lcomp PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS lcomp)
endif()

# find_package(libcompress)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/libcompress)
install(EXPORT libcompress-targets NAMESPACE lcomp:: DESTINATION ${package_dir})
set(find_dependencies "")
foreach(package IN LISTS LCOMP_PACKAGES)
  string(APPEND find_dependencies "find_dependency(${package})\n")
endforeach()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/libcompress-config.cmake.in libcompress-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before 1.0.0 a new minor version may change interfaces.
write_basic_package_version_file(libcompress-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libcompress-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/libcompress-config-version.cmake DESTINATION ${package_dir})
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/modules/ DESTINATION ${package_dir}/modules
        FILES_MATCHING PATTERN "Find*.cmake")

# pkg-config --cflags --libs libcompress. A static library needs all that it calls on the line that links it; a shared one
# knows it.
set(modules ${LCOMP_PACKAGES_PKG_CONFIG})
foreach(module IN LISTS LCOMP_PKG_CONFIG_MODULES)
  string(REGEX REPLACE ".*=" "" module ${module})
  list(APPEND modules ${module})
endforeach()
list(JOIN modules " " modules)
get_filename_component(openblas_dir ${OPENBLAS_LIBRARY} DIRECTORY)
set(libraries "${LAPACKE_LIBRARY} ${OPENBLAS_LIBRARY} -Wl,-rpath,${openblas_dir} ${ONEDNN_LIBRARY} ${OpenMP_CXX_FLAGS}")
if(BUILD_SHARED_LIBS)
  set(for_linking "Requires.private: ${modules}\nLibs.private: ${libraries}\nRequires: nlohmann_json\nLibs: -L\${libdir} -lcompress")
else()
  set(for_linking "Requires: nlohmann_json ${modules}\nLibs: -L\${libdir} -lcompress ${libraries}")
endif()
# The prefix, seen from where the file lies.
file(RELATIVE_PATH to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" to_prefix ${to_prefix})
configure_file(${CMAKE_CURRENT_LIST_DIR}/libcompress.pc.in libcompress.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libcompress.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
