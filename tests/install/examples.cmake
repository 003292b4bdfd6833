# Installs the library under a prefix of the test's own, builds examples/ against it by find_package and one of them by
# pkg-config, and runs all of them on the demo's model.
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)
file(REMOVE_RECURSE ${WORK_DIR})
file(MAKE_DIRECTORY ${WORK_DIR})
set(prefix ${WORK_DIR}/prefix)
run("install" COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})

# Headers include no header that isn't installed.
file(GLOB_RECURSE headers RELATIVE ${prefix}/include ${prefix}/include/*.h)
list(TRANSFORM headers REPLACE "(.+)" "#include <\\1>")
list(JOIN headers "\n" text)
file(WRITE ${WORK_DIR}/all_headers.cpp "${text}\n")
run("all headers" COMMAND ${CXX} -std=c++20 -Wall -Wextra -Wpedantic -fsyntax-only -I${prefix}/include ${WORK_DIR}/all_headers.cpp)

set(build ${WORK_DIR}/build)
run("configure" COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE_DIR}/examples -B ${build} -DCMAKE_CXX_COMPILER=${CXX}
                        -DCMAKE_PREFIX_PATH=${prefix})
run("build" COMMAND ${CMAKE_COMMAND} --build ${build} --parallel 2)

set(model ${SOURCE_DIR}/demo/model)
set(world ${WORK_DIR}/world)
set(out ${WORK_DIR}/out)
file(MAKE_DIRECTORY ${out})
set(number "[0-9.e+-]+")
run("program" SAYS "facts" COMMAND ${prefix}/bin/lcomp world --config ${SOURCE_DIR}/demo/world.json --out ${world})
run("1" SAYS "embed_tokens +[^\n]+relative squared error ${number}.*bits per weight, ratio 3[.]"
    COMMAND ${build}/1_rounding ${model} ${out}/rounding)
run("2" SAYS "rounded +[0-9]+ bytes, KL divergence ${number}.*gptq +[0-9]+ bytes, KL divergence ${number}"
    COMMAND ${build}/2_gptq ${model} ${world}/calibration.jsonl ${world}/eval/text.txt ${out}/gptq)
run("3" SAYS "done in .*bytes, ratio 5[.]0"
    COMMAND ${build}/3_learned ${model} ${world}/calibration.jsonl ${out}/learned)
run("4" SAYS "rtn:bits=3 .*rotate[+]gptq:bits=3,act_order +${number} bits per weight, relative error ${number}, proxy"
    COMMAND ${build}/4_compare_quantizers ${model} ${world}/calibration.jsonl ${out}/statistics)
run("5" SAYS "ternary .*rtn:bits=2.*bits per weight" COMMAND ${build}/5_own_quantizer ${model} ${out}/ternary)
run("5, opened again" SAYS "bits per weight, ratio [67][.]" COMMAND ${prefix}/bin/lcomp inspect ${out}/ternary)

set(ENV{PKG_CONFIG_PATH} ${prefix}/lib/pkgconfig:${prefix}/lib64/pkgconfig)
execute_process(COMMAND pkg-config --cflags --libs libcompress OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
run("pkg-config" COMMAND ${CXX} -std=c++20 ${SOURCE_DIR}/examples/1_rounding.cpp ${flags} -o ${WORK_DIR}/by_pkg_config)
run("1, by pkg-config" SAYS "ratio 3[.]" COMMAND ${WORK_DIR}/by_pkg_config ${model} ${out}/rounding2)
file(REMOVE_RECURSE ${WORK_DIR})
