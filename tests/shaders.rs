//! Every shipped shader variant passes naga's validator and its SPIR-V, MSL and HLSL writers, binds what the table
//! says and fits the default limits.

use gtca::gpu::{Binding, Kernel, kernels};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::sync::LazyLock;

type Variant = (String, &'static Kernel, naga::Module, naga::valid::ModuleInfo);

/// Every variant of every kernel, parsed and validated once for all tests.
static VARIANTS: LazyLock<Vec<Variant>> = LazyLock::new(|| {
    let of_kernel = |kernel: &'static Kernel| {
        let variants = kernel.variants().into_iter();
        variants.flat_map(move |flags| [false, true].map(|one_buffer| variant(kernel, &flags, one_buffer)))
    };
    kernels().into_iter().flat_map(of_kernel).collect()
});

fn variant(kernel: &'static Kernel, flags: &[&str], one_buffer: bool) -> Variant {
    let name = format!("{} {flags:?}{}", kernel.name, if one_buffer { " one buffer" } else { "" });
    let text = kernel.wgsl(flags, one_buffer).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SUBGROUP, kernel.uses_subgroups());
    capabilities.set(Capabilities::SHADER_INT64, kernel.uses_long_words(flags));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
    (name, kernel, module, info)
}

/// Runs `f` for every variant of every kernel.
fn each_variant(mut f: impl FnMut(&str, &Kernel, &naga::Module, &naga::valid::ModuleInfo)) {
    VARIANTS.iter().for_each(|(name, kernel, module, info)| f(name, kernel, module, info));
}

#[test]
fn every_variant_is_translated_to_spirv_msl_and_hlsl() {
    let mut count = 0;
    each_variant(|name, _, module, info| {
        count += 1;
        let spirv = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        naga::back::spv::write_vec(module, info, &spirv, None)
            .unwrap_or_else(|error| panic!("{name}: SPIR-V: {error}"));
        naga::back::msl::write_string(module, info, &Default::default(), &Default::default())
            .unwrap_or_else(|error| panic!("{name}: MSL: {error}"));
        let mut text = String::new();
        let options = naga::back::hlsl::Options::default();
        naga::back::hlsl::Writer::new(&mut text, &options, &naga::back::hlsl::PipelineOptions::default())
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{name}: HLSL: {error}"));
    });
    assert!(count > 0, "the table is empty");
}

#[test]
fn bindings_and_parameters_agree_with_the_table() {
    each_variant(|name, kernel, module, _| {
        assert!(kernel.storage.len() <= 8, "{name}: more than eight storage buffers");
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            let size = module.types[variable.ty].inner.size(module.to_ctx()) as usize;
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!((binding.binding, size), (0, kernel.params_bytes), "{name}: parameters");
                }
                naga::AddressSpace::Storage { access } => {
                    let listed = kernel.storage.get(binding.binding as usize - 1);
                    let listed =
                        listed.unwrap_or_else(|| panic!("{name}: binding {} is not listed", binding.binding));
                    let writes = access.contains(naga::StorageAccess::STORE);
                    if !name.ends_with("one buffer") {
                        assert_eq!(
                            writes,
                            *listed == Binding::Write,
                            "{name}: access of binding {}",
                            binding.binding
                        );
                    }
                }
                space => panic!("{name}: unexpected binding in {space:?}"),
            }
        }
    });
}

/// Fields of the Rust struct behind a kernel's parameters, with their offsets, as its source file declares them: the
/// struct that `size_of` names after the kernel's `name`.
fn declared_fields(kernel: &Kernel) -> Vec<(String, usize)> {
    let is_rust = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.extend(Some(path).filter(is_rust)) }
        }
    }
    let texts: Vec<_> = files.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let name = format!("name: \"{}\"", kernel.name);
    let text = texts.iter().find(|text| text.contains(&name)).unwrap_or_else(|| panic!("{name}"));
    let after = |text: &str, start: &str| text.split_once(start).map(|(_, rest)| rest.to_owned());
    let of_kernel = after(text, &name).and_then(|rest| after(&rest, "size_of::<")).unwrap();
    let start = format!("struct {} {{", of_kernel.split('>').next().unwrap());
    // Its own file's, else the one that it shares with another kernel.
    let of_struct =
        after(text, &start).or_else(|| texts.iter().find_map(|text| after(text, &start))).unwrap();
    let size = |kind: &str| match kind {
        "u32" | "i32" | "f32" => 4,
        "Axis" => 8,
        "Dropped" | "GateRows" => 32,
        "Rows" => 16,
        "Route" => 48,
        kind => panic!("{}: unknown type {kind}", kernel.name),
    };
    let mut offset = 0;
    let lines = of_struct.lines().map(str::trim).take_while(|line| *line != "}");
    let fields = lines.filter_map(|line| line.trim_end_matches(',').split_once(": "));
    fields
        .filter(|(field, _)| !field.starts_with("//"))
        .map(|(field, kind)| {
            let at = offset;
            let (kind, count) =
                match kind.strip_prefix('[').and_then(|kind| kind.trim_end_matches(']').split_once("; ")) {
                    Some((kind, count)) => (kind, count.parse().unwrap()),
                    None => (kind, 1),
                };
            offset += size(kind) * count;
            let visibility = ["pub ", "pub(crate) ", "pub(super) "];
            let field = visibility.iter().fold(field, |field, word| field.trim_start_matches(word));
            (field.to_owned(), at)
        })
        .collect()
}

#[test]
fn every_parameter_lies_where_rust_puts_it() {
    each_variant(|name, kernel, module, _| {
        let uniform = module.global_variables.iter().find(|(_, v)| v.space == naga::AddressSpace::Uniform);
        let Some((_, uniform)) = uniform else { return };
        let naga::TypeInner::Struct { members, .. } = &module.types[uniform.ty].inner else {
            panic!("{name}: parameters are a struct")
        };
        let is_padding = |field: &str| field.starts_with("pad");
        let ours: Vec<_> =
            declared_fields(kernel).into_iter().filter(|(field, _)| !is_padding(field)).collect();
        let theirs: Vec<_> = (members.iter())
            .map(|member| (member.name.clone().unwrap_or_default(), member.offset as usize))
            .filter(|(field, _)| !is_padding(field))
            .collect();
        assert_eq!(ours, theirs, "{name}");
    });
}

#[test]
fn every_kernel_fits_default_limits() {
    each_variant(|name, _, module, _| {
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{name}");
        assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{name}: workgroup too large");
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| module.types[variable.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(workgroup <= 16_384, "{name}: {workgroup} bytes of workgroup memory");
    });
}

#[test]
fn no_shipped_shader_uses_a_builtin_trigonometric_function() {
    each_variant(|name, _, module, _| {
        let functions = module.functions.iter().map(|(_, f)| f);
        for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
            for (_, expression) in function.expressions.iter() {
                if let naga::Expression::Math { fun, .. } = expression {
                    use naga::MathFunction as M;
                    let trigonometric = matches!(
                        fun,
                        M::Sin | M::Cos | M::Tan | M::Asin | M::Acos | M::Atan | M::Atan2 | M::Pow
                    );
                    assert!(!trigonometric, "{name} calls {fun:?}");
                }
            }
        }
    });
}
