# SPDX-License-Identifier: GPL-2.0-only
"""The figures from the guest: lines `round N DRIVER`, and `figure ROW SUBJECT AT UNIT VALUE`."""

OURS, STOCK = "subregion_vfio_pci", "vfio-pci"
SIZES = ((30, "GiB"), (20, "MiB"), (10, "KiB"))

# Rows whose number counts subregions; that of the other rows is a size.
COUNTED = ("CREATE", "DESTROY", "GET_REGION_INFO", "page_mmap", "page_fault", "page_read")

# The row of vfio-pci that a row is compared with.
INSTEAD = {"memory_of_window": "memory_of_open"}


def size(count):
    """A number of bytes with a unit."""
    for shift, unit in SIZES:
        if count and count % (1 << shift) == 0:
            return f"{count >> shift} {unit}"
    return str(count)


def amount(entry):
    """The size or the number of an entry."""
    counted = entry["row"] in COUNTED + ("reset", "memory_of_each") and entry["subject"] != "device"
    if entry["row"] == "GET_REGION_INFO" and entry["subject"] == "bar":
        return ""
    if counted:
        return f"{entry['at']:,}"
    return size(entry["at"]) if entry["at"] else ""


class Figures:
    """All values of each driver by key (row, subject, at, unit), one for each round and boot."""

    def __init__(self, paths):
        self.ours, self.stock, self.about, self.notes = {}, {}, {}, []
        self.boots, self.rounds = len(paths), 0
        for path in paths:
            self._read(path)

    def _read(self, path):
        driver = None
        for line in path.read_text().splitlines():
            match line.split():
                case ["machine", name, *value]:
                    self.about[name] = " ".join(value)
                case ["round", number, name]:
                    driver = self.ours if name == OURS else self.stock
                    self.rounds = max(self.rounds, int(number))
                case ["figure", "gave_up", _, wanted, _, made]:
                    note = f"making {wanted} subregions took too long: only {made} were made"
                    self.notes += [note] if note not in self.notes else []
                case ["figure", row, subject, at, unit, value]:
                    driver.setdefault((row, subject, int(at), unit), []).append(int(value))

    def least(self, driver, key):
        values = (self.ours if driver == OURS else self.stock).get(key)
        return min(values) if values else None

    def owner(self, key):
        """The figure of the same subregion without an export, if the key is of one."""
        row, subject, at, unit = key
        return self.least(OURS, (row, "WC", at, unit)) if subject == "export" else None

    def base(self, key):
        """The figure of vfio-pci for comparison: the same, that of the BAR, or one without a size."""
        row, subject, at, unit = key
        row = INSTEAD.get(row, row)
        for other in ((subject, at), ("bar", at), ("bar", 0), ("device", 0)):
            if (row, *other, unit) in self.stock:
                return self.least(STOCK, (row, *other, unit))
        return None

    def spread(self, key):
        """The spread of the values of either driver."""
        return max(max(values) - min(values) for values in (self.ours[key], self.stock.get(key, [0])))

    def points(self, driver, row, subject):
        """The instructions of a row by size or number, without those of zero."""
        source = self.ours if driver == OURS else self.stock
        return sorted((at, min(values)) for (r, s, at, unit), values in source.items()
                      if (r, s, unit) == (row, subject, "instructions") and at and min(values))
