#!/usr/bin/env python3
"""Writes the manual's pages, sluice.1 and one for each command, from what the program says of itself.

    manual.py SLUICE FOLDER

The date on them is SOURCE_DATE_EPOCH's, or today's.
"""

import json
import os
import re
import subprocess
import sys
import time

NAME = "sluice"


def escaped(text):
    """Text for troff. Every hyphen is one to copy into a shell."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def prose(text):
    """A paragraph, with what is between backticks in bold."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join("\\fB%s\\fR" % escaped(part) if odd % 2 else escaped(part) for odd, part in enumerate(parts))


def quoted(text):
    """An argument of a macro."""
    return '"%s"' % text.replace('"', '\\(dq')


def spelling(name):
    return ("--" if name["kind"] == "long" else "-") + name["name"]


def shown(command, key):
    return [each for each in command.get(key, []) if each["shouldDisplay"] and each.get("commandName") != "help"]


def value(argument):
    return "\\fI%s\\fR" % escaped(argument["valueName"])


def usage(command):
    """What has to be there, in the order of the program's own usage."""
    words = []
    for argument in shown(command, "arguments"):
        if argument["isOptional"]:
            continue
        more = "\\~.\\|.\\|." if argument["isRepeating"] else ""
        if argument["kind"] == "positional":
            words.append(value(argument) + more)
        else:
            words.append("\\fB%s\\fR\\~%s%s" % (escaped(spelling(argument["preferredName"])), value(argument), more))
    if any(argument["isOptional"] for argument in shown(command, "arguments")):
        words.insert(0, "[\\fIoptions\\fR]")
    if shown(command, "subcommands"):
        words.append("\\fIcommand\\fR")
    return " ".join(words)


def item(argument, opposite=None):
    """An argument in a list of them; a flag together with the one that says no."""
    if argument["kind"] == "positional":
        label = value(argument)
    else:
        names = argument["names"] + (opposite["names"] if opposite else [])
        label = ", ".join("\\fB%s\\fR" % escaped(spelling(name)) for name in names)
        if argument["kind"] == "option":
            label += " " + value(argument)
    lines = [".TP", label, prose(argument.get("abstract", ""))]
    if any(each not in argument.get("abstract", "") for each in argument.get("allValues", [])):
        lines.append("One of: %s." % escaped(", ".join(argument["allValues"])))
    if argument.get("defaultValue"):
        lines.append("Default: %s" % escaped(argument["defaultValue"]))
    return lines


def says_no_to(argument, other):
    """Whether `other` is the --no-X of the flag --X."""
    names = [spelling(each["preferredName"]) for each in (argument, other) if each["kind"] == "flag"]
    return len(names) == 2 and names[1] == names[0].replace("--", "--no-", 1)


def body(command, common):
    """What a command does and takes; its own commands follow it."""
    lines = []
    if command.get("discussion"):
        lines += [".PP"] + [prose(part) for part in command["discussion"].split("\n\n")]
    own = [argument for argument in shown(command, "arguments") if argument.get("names") not in common]
    while own:
        argument = own.pop(0)
        lines += item(argument, own.pop(0) if own and says_no_to(argument, own[0]) else None)
    return lines


def page(command, path, others, stamp, version):
    name = "-".join(path)
    lines = [".\\\" Made from the program's own help.",
             ".TH %s 1 %s %s %s" % (quoted(escaped(name.upper())), quoted(stamp),
                                    quoted("Sluice " + escaped(version)), quoted("User commands")),
             ".nh", ".ad l", ".SH NAME", "%s \\- %s" % (escaped(name), prose(command["abstract"]).rstrip(".")),
             ".SH SYNOPSIS",
             "\\fB%s\\fR %s" % (escaped(" ".join(path)), usage(command))]
    for each in shown(command, "subcommands") if len(path) > 1 else []:
        lines += [".br", "\\fB%s\\fR %s" % (escaped(" ".join(path + [each["commandName"]])), usage(each))]
    # --version and --help are everywhere, and told once.
    common = [] if len(path) == 1 else [[{"kind": "long", "name": "version"}],
                                        [{"kind": "short", "name": "h"}, {"kind": "long", "name": "help"}]]
    lines += [".SH DESCRIPTION", prose(command["abstract"])] + body(command, common)
    commands = shown(command, "subcommands")
    if commands and len(path) == 1:
        lines.append(".SH COMMANDS")
        for each in commands:
            lines += [".TP", "\\fB%s\\-%s\\fR(1)" % (NAME, escaped(each["commandName"])), prose(each["abstract"])]
    elif commands:
        lines.append(".SH COMMANDS")
        for each in commands:
            lines += [".SS %s" % quoted(escaped(" ".join(path + [each["commandName"]]))), prose(each["abstract"])]
            lines += body(each, common)
    if len(path) == 1:
        lines += [".SH FILES", ".TP", "\\fI/etc/sluice/sluice.yaml\\fR", "The configuration of the service.",
                  ".SH ENVIRONMENT", ".TP", "\\fBSLUICE_TOKEN\\fR",
                  "The token that is shown to the gateway, for want of \\fB\\-\\-token\\-file\\fR."]
    see = [each for each in others if each != name] if len(path) == 1 else [NAME]
    lines.append(".SH \"SEE ALSO\"")
    lines += [".BR %s (1)%s" % (escaped(each), "" if each == see[-1] else ",") for each in see]
    return "\n".join(lines) + "\n"


def dumped(program, arguments):
    return subprocess.run([program] + arguments, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")


def run(program, folder):
    root = json.loads(dumped(program, ["--experimental-dump-help"]))["command"]
    version = dumped(program, ["--version"]).strip()
    stamp = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    os.makedirs(folder, exist_ok=True)
    commands = shown(root, "subcommands")
    names = [NAME] + ["%s-%s" % (NAME, each["commandName"]) for each in commands]
    for command, path in [(root, [NAME])] + [(each, [NAME, each["commandName"]]) for each in commands]:
        with open(os.path.join(folder, "-".join(path) + ".1"), "w", encoding="utf-8") as file:
            file.write(page(command, path, names, stamp, version))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    run(*sys.argv[1:])
