# The library that others link, lcomp::lcomp: one file, libcompress.a or with BUILD_SHARED_LIBS libcompress.so, of the
# objects of all areas. The areas stay targets of their own inside the project, where they hold the direction of
# dependency; outside of it nobody has to know their order.

# lcomp_library(): of the areas that were added so far.
function(lcomp_library)
  get_property(areas GLOBAL PROPERTY LCOMP_AREAS)
  get_property(libraries GLOBAL PROPERTY LCOMP_LINK)
  get_property(include_dirs GLOBAL PROPERTY LCOMP_INCLUDE_DIRS)
  list(REMOVE_DUPLICATES libraries)
  list(REMOVE_ITEM libraries nlohmann_json::nlohmann_json)
  list(REMOVE_DUPLICATES include_dirs)
  add_library(lcomp_library)
  add_library(lcomp::lcomp ALIAS lcomp_library)
  set_target_properties(lcomp_library PROPERTIES
    OUTPUT_NAME compress EXPORT_NAME lcomp LINKER_LANGUAGE CXX INSTALL_RPATH_USE_LINK_PATH ON
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(lcomp_library PUBLIC cxx_std_20)
  foreach(area IN LISTS areas)
    get_target_property(type ${area} TYPE)
    if(NOT type STREQUAL "INTERFACE_LIBRARY")
      target_sources(lcomp_library PRIVATE $<TARGET_OBJECTS:${area}>)
    endif()
  endforeach()
  target_include_directories(lcomp_library PUBLIC "$<BUILD_INTERFACE:${include_dirs}>")
  # Headers show nlohmann::json; all else is linked and not seen.
  target_link_libraries(lcomp_library PUBLIC nlohmann_json::nlohmann_json PRIVATE ${libraries})
  if(LCOMP_SANITIZE)
    target_link_options(lcomp_library PUBLIC -fsanitize=${LCOMP_SANITIZE})
  endif()
  set_property(GLOBAL PROPERTY LCOMP_LIBRARY_INCLUDE_DIRS ${include_dirs})
endfunction()
