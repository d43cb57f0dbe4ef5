# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Completion of subregionctl's command line in bash.

_subregionctl() {
	local words word=${COMP_LINE:0:COMP_POINT} devices=(/sys/bus/pci/drivers/{subregion_vfio_pci,vfio-pci}/*:*:*)
	word=${word##* }
	devices=("${devices[@]##*/}")
	case ${COMP_WORDS[1]} in
	list) words="--open --pid --json --help ${devices[*]}" ;;
	show) words="--json --help ${devices[*]}" ;;
	watch) words="--interval --json --help ${devices[*]}" ;;
	hold) words="--part --seconds --json --help ${devices[*]}" ;;
	dump) words="--offset --length --part --help ${devices[*]}" ;;
	esac
	[ "$COMP_CWORD" -gt 1 ] || words="list show watch hold dump --help --version"
	# A pattern that matches no device stays as it is.
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word" | grep -vF '*')
	# For bash, the parts of an address are words of their own.
	COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
}
complete -F _subregionctl subregionctl
