# Unpacks (does not install) Debian's rustc-web with its library sources below $WASM_HOME and builds the standard
# library for wasm32-unknown-unknown once. Needs no root. Leaves bin/rustc, and in `linker` the linker it borrows.
# Exit codes with a meaning: 3 no package lists, 4 no such package, 5 no linker.
set -eu
target=wasm32-unknown-unknown
cd "$WASM_HOME"
mkdir -p apt/state/lists/partial apt/cache/archives/partial debs root bin std/src

# The system's own lists may be old, and only root may renew them: these are ours.
set -- -q -o Dir::State="$WASM_HOME/apt/state" -o Dir::State::status=/var/lib/dpkg/status \
  -o Dir::Cache="$WASM_HOME/apt/cache" -o Acquire::Languages=none \
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Debug::NoLocking=1
if [ "$(id -u)" = 0 ]; then set -- "$@" -o APT::Sandbox::User=root; fi
apt-get "$@" update || exit 3
# It also succeeds when it has fetched nothing.
ls apt/state/lists/*_Packages* >/dev/null 2>&1 || exit 3

# The newest package of a name, and its one dependency that matches.
dependency() {
  pattern=$2 package=$1
  shift 2
  apt-cache "$@" depends "$package" 2>/dev/null | sed -n "s/^ *Depends: \($pattern\)\$/\1/p" | head -n 1
}
standard=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9.]*' "$@")
[ -n "$standard" ] || exit 4
llvm=$(dependency "$standard" 'libllvm[0-9]*' "$@")
[ -n "$llvm" ] || exit 4
(cd debs && apt-get "$@" download rustc-web rust-web-src libstd-rust-web-dev "$standard" "$llvm") || exit 4

for package in debs/rustc-web_* debs/libstd-*; do dpkg -x "$package" root; done
dpkg --fsys-tarfile debs/"$llvm"_*.deb | tar x -C root --wildcards '*/libLLVM*'
dpkg --fsys-tarfile debs/rust-web-src_*.deb |
  tar x -C root --wildcards './usr/src/*/library/*' './usr/lib/rustlib/src/*'

usr=$WASM_HOME/root/usr
libraries=$(echo "$usr"/lib/*-linux-gnu)
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/bin/rustc "$@"\n' "'$libraries'" "'$usr'" >bin/rustc
chmod +x bin/rustc

# rustc-web has no wasm linker of its own; rustup's compiler does, and lld serves as well.
host=$(rustc -vV | sed -n 's/^host: //p')
linker=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
[ -x "$linker" ] || linker=$(command -v lld) || exit 5
mkdir -p "$usr/lib/rustlib/$host/bin"
ln -sf "$linker" "$usr/lib/rustlib/$host/bin/rust-lld"

: >std/src/lib.rs
cat >std/Cargo.toml <<'END'
[package]
name = "standard-library"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
opt-level = 3
panic = "abort"
END
(cd std && RUSTC="$WASM_HOME/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Cembed-bitcode=yes" \
  "${CARGO:-cargo}" build --release --target "$target" -Zbuild-std=std,panic_abort)
mkdir -p "$usr/lib/rustlib/$target/lib"
cp std/target/"$target"/release/deps/*.rlib "$usr/lib/rustlib/$target/lib/"
rm -f "$usr/lib/rustlib/$target/lib/libstandard_library"*
rm -rf apt debs std root/usr/src "$usr/lib/rustlib/src"
echo "$linker" >linker
bin/rustc -V
