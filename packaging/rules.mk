# SPDX-License-Identifier: MIT
# What a machine needs beside the programs: who may open the device.

UDEV_RULES	:= packaging/udev/70-nvfs.rules
UDEVDIR		?= /usr/lib/udev/rules.d

install: install-udev
uninstall: uninstall-udev

.PHONY: install-udev uninstall-udev
install-udev:
	install -D -m 644 $(UDEV_RULES) $(DESTDIR)$(UDEVDIR)/$(notdir $(UDEV_RULES))

uninstall-udev:
	rm -f $(DESTDIR)$(UDEVDIR)/$(notdir $(UDEV_RULES))

# What install-module installs; its kernel may be gone by now.
ifneq ($(KREL),)
uninstall: uninstall-module
endif

.PHONY: uninstall-module
uninstall-module:
	rm -f $(DESTDIR)/lib/modules/$(KREL)/updates/nvfs.ko
	$(if $(DESTDIR),,[ ! -d /lib/modules/$(KREL) ] || depmod $(KREL))
