//! Writes the directory of libtorch into the binary, so that `cargo run` finds it without LD_LIBRARY_PATH, and compiles the C++ between us
//! and what tch does not reach.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/model/shim");
    // Set by torch-sys, because it is a direct dependency of this package.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        let lib = std::path::Path::new(&lib);
        // The wheel's libtorch_cpu.so may be a link; its libraries lie beside the real file.
        let real = lib.join("libtorch_cpu.so").canonicalize().ok();
        let dir = real.as_deref().and_then(std::path::Path::parent).unwrap_or(lib);
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display());
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .warnings(false)
            .opt_level(3)
            // Threads as libtorch's own headers make them, and loops that are told to be vectors. What the other flags give away, errno, traps
            // and what a comparison makes of NaN, keeps compilers from that.
            .flags(["-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only", "-fno-signed-zeros"])
            .include(lib.with_file_name("include"))
            .files(["graph", "fused", "attend"].map(|name| format!("src/model/shim/{name}.cpp")))
            .compile("udasa_shim");
        println!("cargo:rustc-link-lib=gomp");
    }
}
