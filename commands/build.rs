//! Watches the migrations, which are embedded: a new file has to reach the binary. Builds nothing itself.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
