// Cells of tables. React sets text as text; addresses are the server's own.
window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};
window.dashAgGridComponentFunctions.LakeLink = (props) =>
  props.data && props.data.href
    ? React.createElement("a", { href: props.data.href, "data-inside": "" }, props.value)
    : props.value;
