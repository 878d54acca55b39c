//! The README shows the echo server as it is in `examples/`.

#[test]
fn the_echo_server_of_the_readme_is_the_example() {
    let example = include_str!("../examples/udp_echo.rs");
    let code = example
        .split_once("\n\n")
        .map(|(_, code)| code)
        .unwrap_or_default();
    assert!(
        include_str!("../README.md").contains(code),
        "examples/udp_echo.rs and README.md differ"
    );
    let main = code.split_once("fn main").map_or("", |(_, main)| main);
    assert!(main.lines().count() <= 41, "forty lines and the last brace");
}
