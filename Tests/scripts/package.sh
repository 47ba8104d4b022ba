# The Python package is installed by pip from its folder, and takes a module of PyTorch and a data set to a ranking, a
# pruned module and a fine-tuned one; errors are exceptions with the program's message.
source "$(dirname "$0")/common.sh"
needs python3
python3 -c 'import importlib.util as u, sys; sys.exit(None in map(u.find_spec, ["numpy", "torch", "onnx", "pip", "setuptools", "wheel"]))' \
    || { echo "no numpy, torch, onnx, pip, setuptools or wheel for python3"; exit 77; }

# pip writes next to what it builds.
cp -r python "$work/package"
python3 -m pip install --quiet --no-deps --no-build-isolation --no-index --target "$work/site" "$work/package" \
    > "$work/log" 2>&1 || fail "pip cannot install python: $(tail -n 5 "$work/log")"

cat > "$work/notebook.py" << 'PYTHON'
import os

import numpy
import torch
import winnow


class Blobs(torch.utils.data.Dataset):
    """Noisy images of one of four corners."""

    def __init__(self, count, seed, labels=4):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % labels
        self.images = 0.3 * torch.randn(count, 1, 8, 8, generator=generator)
        for image, label in zip(self.images, self.labels):
            row, column = 4 * (label // 2), 4 * (label % 2)
            image[0, row : row + 4, column : column + 4] += 1

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        return self.images[number], self.labels[number]


torch.manual_seed(1)
train, test = Blobs(400, 1), Blobs(100, 2)
model = torch.nn.Sequential(torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 4))
optimizer = torch.optim.Adam(model.parameters(), 0.01)
for _ in range(60):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(train.images.flatten(1)), train.labels).backward()
    optimizer.step()


def accuracy(network):
    with torch.no_grad():
        return (network(test.images.flatten(1)).argmax(1) == test.labels).float().mean().item()


assert accuracy(model) > 0.95

winnow.images(train, "images.npz", test=test)
arrays = numpy.load("images.npz")
assert arrays["train_images"].shape == (400, 1, 8, 8) and arrays["train_images"].dtype == numpy.float32
assert sorted(arrays["test_labels"]) == sorted(test.labels.tolist())

torch.save(model.state_dict(), "model.pt")
ranking = winnow.rank("model.pt", "images.npz", masks=150, run="model.winnow", seed=3)
by_module = winnow.rank(model, "images.npz", masks=150, run="module.winnow", seed=3)
for column in ("layer", "filter", "importance"):
    assert list(by_module.table[column]) == list(ranking.table[column]), column
assert len(ranking) == 24 and ranking.table["rank"][0] == 1, ranking.table

pruned = winnow.prune(
    ranking, "pruned.safetensors", data="images.npz", remove_filters=0.5, reconstruct=True, calibration_images=100)
module = pruned.load()
assert isinstance(module, torch.nn.Module) and not module.training
parameters = sum(parameter.numel() for parameter in module.parameters())
assert parameters == 64 * 12 + 12 + 12 * 4 + 4, parameters
assert accuracy(module) > 0.8, accuracy(module)

tuned = winnow.finetune(
    pruned, "images.npz", "tuned.safetensors", distill_from=model, epochs=2, batch_size=40, learning_rate=0.01,
    no_augmentation=True)
assert accuracy(tuned.load()) > 0.9

by_norm = winnow.prune(model, "l1.safetensors", method="l1", remove_filters=6, example=train.images[:1])
assert sum(parameter.numel() for parameter in winnow.load(by_norm.path).parameters()) == 64 * 18 + 18 + 18 * 4 + 4



class Branches(torch.nn.Module):
    """What no state dict tells: two branches of other activations, multiplied and concatenated."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = torch.nn.Conv2d(1, 6, 3, padding=1), torch.nn.BatchNorm2d(6)
        self.left, self.right = torch.nn.Conv2d(6, 5, 3), torch.nn.Conv2d(6, 5, 3)
        self.head = torch.nn.Linear(10, 4)

    def forward(self, images):
        stem = torch.nn.functional.silu(self.norm(self.stem(images)))
        left, right = torch.tanh(self.left(stem)), torch.nn.functional.elu(self.right(stem))
        return self.head(torch.cat([left * right, right], 1).flatten(2).mean(2))


branches = Branches()
optimizer = torch.optim.Adam(branches.parameters(), 0.01)
for _ in range(150):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(branches(train.images), train.labels).backward()
    optimizer.step()
known = (branches.eval()(test.images).argmax(1) == test.labels).float().mean().item()
branches.train()
ranking = winnow.rank(
    branches, "images.npz", masks=60, run="branches.winnow", seed=3, anyway=True, scope="all")
assert {"stem", "left", "right"} >= set(ranking.table["layer"]), ranking.table
assert branches.training, "a module is left as it was"
smaller = winnow.prune(ranking, "branches.safetensors", remove_filters=1).load()
with torch.no_grad():
    assert (smaller(test.images).argmax(1) == test.labels).float().mean() > known - 0.3

for call, kind, message in [
    (lambda: winnow.rank(model, "nowhere.npz", masks=10, run="other.winnow"), winnow.BadInputError, "nowhere.npz"),
    (lambda: winnow.rank(model, "images.npz", masks=0, run="other.winnow"), winnow.UsageError, "masks"),
    (lambda: winnow.prune("model.winnow", "x.safetensors", remove_flops=2), winnow.UsageError, "remove-flops"),
    (lambda: winnow.prune(model, "x.safetensors", method="l1", remove_filters=6), ValueError, "example="),
]:
    try:
        call()
    except kind as error:
        assert message in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}")
os.environ["WINNOW_BINARIES"] = "/nowhere"
try:
    winnow.load("pruned.safetensors")
except winnow.UnavailableError as error:
    assert "winnow-coordinator is not in $WINNOW_BINARIES" in str(error)
PYTHON
(cd "$work" && PYTHONPATH=$work/site python3 notebook.py > "$work/log" 2>&1) || fail "$(tail -n 15 "$work/log")"

# Batch norms and names survive the conversion to ONNX, if its writer is installed.
if python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec("onnx") is None)'; then
    cat > "$work/export.py" << 'PYTHON'
import onnx
import torch
import winnow

model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.ReLU()).train()
# The exporter writes equal tensors once, under one name.
for tensor in model[1].state_dict().values():
    if tensor.is_floating_point():
        tensor.uniform_(1, 2)
winnow.export(model, torch.zeros(1, 3, 8, 8), "model.onnx")
graph = onnx.load("model.onnx").graph
assert [node.op_type for node in graph.node] == ["Conv", "BatchNormalization", "Relu"], graph.node
assert {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"} == {tensor.name for tensor in graph.initializer}
assert model.training
PYTHON
    (cd "$work" && PYTHONPATH=$work/site python3 export.py > "$work/log" 2>&1) || fail "$(tail -n 15 "$work/log")"
fi
