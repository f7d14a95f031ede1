//! Compiles the C++ shim against libtorch's headers.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    // Without libtorch (`doc-only`) there is nothing to compile against, and nothing is linked.
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() || env::var_os("DOCS_RS").is_some() {
        return;
    }
    let Some(libtorch) = env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo::warning=LIBTORCH is not set: only type checks will work");
        return;
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        // Square roots of whole vectors; nobody reads `errno`.
        .flag("-fno-math-errno")
        .opt_level(3)
        .include("shim")
        .include(libtorch.join("include"))
        .include(libtorch.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .files(["shim/shim.cpp", "shim/device.cpp", "shim/nccl.cpp"])
        .compile("lmplan_c10d_shim");
    println!("cargo::rustc-link-lib=stdc++");
    // The tests find the libraries without LD_LIBRARY_PATH, which still wins where it is set.
    println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{}", libtorch.join("lib").display());
}
