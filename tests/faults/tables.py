"""Tables and folders of images as nobody should have them: read, or refused in one line; nothing is half-written."""

import io
from pathlib import Path

from .damage import damage
from .harness import Round
from .outcomes import NO_EFFECT
from .processes import call, one_line
from .project import nothing_unfinished, write_params

CELLS = (
    *(
        "",
        " ",
        '"',
        '""',
        '"a',
        "a,b",
        "a;b",
        "\t",
        "\r",
        "\x00",
        "é",
        "\u202e",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e999",
    ),
    *("0x10", "1_000", "1.000,5", "12/13/2020", "2020-02-30", "True", "=1+1", "<b>", "9" * 400, "a" * 100_000, "NULL"),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "shift_jis", "utf-32", "cp037")
TABLE = ["data.name=csv", "data.path=own.csv", "data.target=class"]
IMAGES = ["data.name=images", "data.path=own", "data.image_size=8"]


def play(now: Round) -> str:
    (project := now.folder / "project").mkdir()
    make = now.random.choice([_table, _table, _images])
    write_params(project, *make(now, project))
    done = call(project, "fetch")
    if not done.status:
        done = call(project, "preprocess")
    nothing_unfinished(project)
    if not done.status:
        return NO_EFFECT
    if made := [*project.glob("data/processed/*/*")]:
        raise AssertionError(f"left after exit {done.status}: {made}")
    return one_line(done, "own", "data.")


def _table(now: Round, project: Path) -> list[str]:
    draw = now.random
    rows = [["id", "x", "kind", "day", "class"]]
    for number in range(200):
        day = f"2024-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        rows.append([str(number), f"{draw.gauss(0, 1):.4f}", draw.choice("abc"), day, draw.choice(["yes", "no"])])
    for _ in range(draw.choice([0, 1, 1, 3, 30])):
        row, cell = draw.randrange(len(rows)), draw.choice(CELLS)
        how = draw.choice(["cell", "cell", "column", "shorter", "longer", "twice", "header"])
        now.did.append(f"{how} {row} {cell[:20]!r}")
        if how == "column":
            place = draw.randrange(5)
            rows[1:] = [[*each[:place], cell, *each[place + 1 :]] for each in rows[1:]]
        elif how == "shorter":
            rows[row] = rows[row][: draw.randrange(5)]
        elif how == "longer":
            rows[row] = [*rows[row], cell]
        elif how == "twice":
            rows.insert(row, rows[row])
        else:
            place = 0 if how == "header" else row
            rows[place] = [cell if draw.random() < 0.3 else each for each in rows[place]]
    end, separator, encoding = draw.choice(["\n", "\r\n", "\r"]), draw.choice(",,,;\t|"), draw.choice(ENCODINGS)
    now.did.append(f"{end!r} {separator!r} {encoding}")
    text = end.join(separator.join(row) for row in rows) + draw.choice(["", end, end * 3])
    (project / "own.csv").write_bytes(text.encode(encoding, errors="replace"))
    if draw.random() < 0.3:
        damage(now, project / "own.csv", project)
    extra = draw.choice([[], [], ["data.id=id"], ["data.time=day"], ["data.group=kind"], ["data.text=hash"]])
    return [*TABLE, *extra]


def _images(now: Round, project: Path) -> list[str]:
    from PIL import Image

    files = []
    for name in ("a", "b", "c"):
        (folder := project / "own" / name).mkdir(parents=True)
        for number in range(12):
            content = io.BytesIO()
            Image.frombytes("L", (8, 8), now.random.randbytes(64)).save(content, now.random.choice(["PNG", "JPEG"]))
            files.append(folder / f"{number}.png")
            files[-1].write_bytes(content.getvalue())
    for file in now.random.sample(files, now.random.choice([1, 2, 10])):
        match now.random.choice(["damage", "damage", "huge", "link", "folder", "text"]):
            case "damage":
                damage(now, file, project)
            case "huge":  # says that it is so many pixels
                now.did.append(f"huge {file.name}")
                size = (60_000).to_bytes(4)
                data = file.read_bytes()
                file.write_bytes(data[:16] + size + size + data[24:])
            case "link":
                now.did.append(f"link {file.name}")
                file.unlink()
                file.symlink_to(now.random.choice([file.name, "..", "/dev/zero", "gone"]))
            case "folder":
                now.did.append(f"folder {file.name}")
                file.unlink()
                file.mkdir()
            case "text":
                now.did.append(f"text {file.name}")
                file.write_text("no image")
    return [*IMAGES, f"data.bad_files={now.random.choice(['refuse', 'skip'])}"]
