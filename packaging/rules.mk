# SPDX-License-Identifier: MIT
# What a machine needs beside the programs: who may open the device.

UDEV_RULES	:= packaging/udev/70-nvfs.rules
UDEVDIR		?= /usr/lib/udev/rules.d

install: install-udev

.PHONY: install-udev
install-udev:
	install -D -m 644 $(UDEV_RULES) $(DESTDIR)$(UDEVDIR)/$(notdir $(UDEV_RULES))
